"""The story of ticketing: register, discount, two rivals, cancel, reserve, expire."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from ops.stories.runner import Answer, Json, Person, StoryRunner

TITLE = "Ticketing"
BASE = "/v1/ticketing"
EXPIRES_IN = 1.5


async def play(runner: StoryRunner) -> None:
    kim, minji, jun = runner.staff("kim"), runner.customer("minji"), runner.customer("jun")
    vip = runner.customer("sora", grade="VIP")
    ticket = await _registered(runner, kim, "Jeju ferry", timedelta(days=1))
    await _discounted(runner, kim, vip, ticket)
    winner, reservation = await _rivals(runner, ticket, minji, jun)
    await _cancelled(runner, winner, ticket, reservation)
    await _next_member(runner, kim, vip, ticket)
    await _expired(runner, kim, minji)


async def _registered(runner: StoryRunner, staff: Person, name: str, lasts: timedelta) -> Json:
    now = datetime.now(UTC)
    new = {
        "name": f"{name} {runner.run}",
        "starts_at": now.isoformat(),
        "ends_at": (now + lasts).isoformat(),
        "base_price": 30_000,
    }
    text = f"staff registers {name}"
    ticket = (await runner.step(text, staff, "POST", f"{BASE}/tickets", new, expect=201, code="AVAILABLE")).body
    await _costs(runner, staff, ticket, "pricing has priced it")
    return ticket


async def _costs(runner: StoryRunner, person: Person, ticket: Json, text: str, policy: Json | None = None) -> None:
    """Wait for a price, and for one that a policy has changed."""

    def has_it(answer: Answer) -> bool:
        return policy is None or policy["policy_id"] in [line["policy_id"] for line in answer.body["lines"]]

    await runner.until(
        text,
        lambda: person.send("GET", f"{BASE}/prices/{ticket['ticket_id']}"),
        has_it,
        within=5,
        shows=lambda answer: f"{answer.body.get('total')} won for {answer.body.get('grade')}",
    )


async def _discounted(runner: StoryRunner, staff: Person, vip: Person, ticket: Json) -> None:
    extra = {"name": f"friends {runner.run}", "kind": "percent", "value": 10, "grade": "VIP"}
    path = f"{BASE}/discount-policies"
    made = await runner.step("a discount for VIPs", staff, "POST", path, extra, expect=201, code="ACTIVE")
    await _costs(runner, vip, ticket, "a VIP sees the new price", made.body)
    await runner.step("the discount ends", staff, "DELETE", f"{path}/{made.body['policy_id']}", expect=204)


async def _rivals(runner: StoryRunner, ticket: Json, *members: Person) -> tuple[Person, Json]:
    wish = {"ticket_id": ticket["ticket_id"]}
    answers = await asyncio.gather(*(member.send("POST", f"{BASE}/reservations", wish) for member in members))
    text = "two members, one ticket, the same instant"
    came = sorted((answer.status, answer.code) for answer in answers)
    outcome = " and ".join(f"{status} {code}" for status, code in came)
    runner.report(text, "POST", outcome, max(answer.took_ms for answer in answers))
    runner.require(came == [(201, "RESERVED"), (409, "ticket_not_available")], text, outcome)
    return next((member, answer.body) for member, answer in zip(members, answers, strict=True) if answer.status == 201)


async def _cancelled(runner: StoryRunner, member: Person, ticket: Json, reservation: Json) -> None:
    path = f"{BASE}/reservations/{reservation['reservation_id']}"
    await runner.step("the one who has it cancels", member, "POST", f"{path}/cancellation", {}, code="CANCELLING")
    await runner.until(
        "the ticket is free, its price restored",
        lambda: member.send("GET", path),
        lambda answer: answer.code == "CANCELLED",
        within=10,
    )
    await _on_the_board(runner, "the board shows it", member, ticket, "AVAILABLE")


async def _next_member(runner: StoryRunner, staff: Person, member: Person, ticket: Json) -> None:
    wish = {"ticket_id": ticket["ticket_id"]}
    await runner.step(
        "a VIP reserves",
        member,
        "POST",
        f"{BASE}/reservations",
        wish,
        expect=201,
        code="RESERVED",
        shows=lambda answer: f"RESERVED at {answer.body['price']['total']} won, {answer.body['price']['grade']}",
        must=lambda answer: None if answer.body["price"]["grade"] == "VIP" else "expected the VIP's price",
    )
    await runner.step(
        "staff cannot change it now",
        staff,
        "PATCH",
        f"{BASE}/tickets/{ticket['ticket_id']}",
        {"name": "other"},
        expect=409,
        code="wrong_state",
    )
    await _on_the_board(runner, "the board shows it", member, ticket, "RESERVED")


async def _expired(runner: StoryRunner, staff: Person, member: Person) -> None:
    ticket = await _registered(runner, staff, "Last ferry", timedelta(seconds=EXPIRES_IN))
    await _on_the_board(runner, "it expires by itself", member, ticket, "EXPIRED")
    wish = {"ticket_id": ticket["ticket_id"]}
    await runner.step("too late", member, "POST", f"{BASE}/reservations", wish, expect=409, code="ticket_expired")


async def _on_the_board(runner: StoryRunner, text: str, person: Person, ticket: Json, status: str) -> None:
    await runner.until(
        text,
        lambda: person.send("GET", f"{BASE}/board/{ticket['ticket_id']}"),
        lambda answer: answer.code == status,
        within=EXPIRES_IN + 5,
        shows=lambda answer: f"{answer.code}, {len(answer.body.get('timeline', []))} events",
    )
