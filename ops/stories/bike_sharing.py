"""The story of bike sharing: top up, ride, return, two rivals for a bike, a declined and an unanswered payment."""

from __future__ import annotations

import asyncio

from ops.stories.runner import Answer, Json, Person, StoryRunner, counted

TITLE = "Bike sharing"
BASE = "/v1/bike-sharing"


def paying(amount: int, token: str = "tok_visa") -> Json:
    return {"amount": amount, "payment": {"method": "card", "token": token, "last4": "4242", "brand": "visa"}}


async def play(runner: StoryRunner) -> None:
    lee, minji, jun = runner.staff("lee"), runner.customer("minji"), runner.customer("jun")
    bike = await _registered(runner, lee, "B1")
    await _topped_up(runner, minji, bike)
    await _rides(runner, lee, minji, bike)
    await _one_bike(runner, lee)
    unanswered = await _unanswered(runner, jun)
    await _declined(runner, jun)
    if unanswered:
        await _nothing_kept(runner, jun, unanswered)
    await runner.step(
        "ride history of minji",
        minji,
        "GET",
        f"{BASE}/ride-history",
        shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
        must=lambda answer: None if answer.body["items"] else "expected rides",
    )


async def _registered(runner: StoryRunner, staff: Person, name: str) -> Json:
    new = {"code": f"{name}-{runner.run}", "location": "City Hall"}
    made = await runner.step(
        f"staff registers bike {name}", staff, "POST", f"{BASE}/bikes", new, expect=201, code="AVAILABLE"
    )
    return made.body


async def _topped_up(runner: StoryRunner, member: Person, bike: Json) -> None:
    ride = {"bike_id": bike["bike_id"]}
    await runner.step(
        "without money nobody rides", member, "POST", f"{BASE}/rides", ride, expect=409, code="deposit_too_low"
    )
    await runner.step(
        "a member tops up 10,000 won",
        member,
        "POST",
        f"{BASE}/deposits/top-ups",
        paying(10_000),
        expect=201,
        code="COMPLETED",
        shows=lambda answer: f"COMPLETED, balance {answer.body['balance']} won",
        must=lambda answer: None if answer.body["balance"] == 10_000 else "expected 10000",
    )


async def _started(runner: StoryRunner, text: str, member: Person, bike: Json) -> Json:
    """Take a bike; rides receives the new balance a moment later."""
    path, ride = f"{BASE}/rides", {"bike_id": bike["bike_id"]}
    for _ in range(50):
        answer = await member.send("POST", path, ride)
        if answer.code != "deposit_too_low":
            break
        await asyncio.sleep(0.05)
    runner.check(text, "POST", answer, expect=201, code="RIDING")
    runner.report(text, f"POST {answer.status}", "RIDING", answer.took_ms)
    return answer.body


async def _rides(runner: StoryRunner, staff: Person, member: Person, bike: Json) -> None:
    ride = await _started(runner, "and takes the bike", member, bike)
    await runner.step(
        "one ride at a time",
        member,
        "POST",
        f"{BASE}/rides",
        {"bike_id": bike["bike_id"]},
        expect=409,
        code="ride_open",
    )
    await runner.step(
        "somebody reports it broken: after the ride",
        staff,
        "PATCH",
        f"{BASE}/bikes/{bike['bike_id']}",
        {"status": "BROKEN"},
        code="IN_USE",
    )
    path = f"{BASE}/rides/{ride['ride_id']}/return"
    back = {"location": "Han River"}
    first = await runner.step(
        "the member returns it",
        member,
        "POST",
        path,
        back,
        code="RETURNED",
        shows=lambda answer: f"RETURNED, {answer.body['minutes']} min, {answer.body['fee']} won",
        must=lambda answer: None if answer.body["fee"] == 100 else "expected 100 won",
    )

    def the_same(answer: Answer) -> str | None:
        return None if answer.body == first.body else "another ride than the first time"

    await runner.step("and again: nothing is charged twice", member, "POST", path, back, code="RETURNED", must=the_same)
    await runner.until(
        "ride history shows the bill and the balance",
        lambda: member.send("GET", f"{BASE}/ride-history/{ride['ride_id']}"),
        lambda answer: (answer.body["bill"] or {}).get("status") == "CLOSED" and answer.body["balance_after"] == 9_900,
        within=5,
        shows=lambda answer: f"{answer.code}, balance {answer.body['balance_after']}",
    )
    await runner.until(
        "the bike is BROKEN now",
        lambda: staff.send("GET", f"{BASE}/bikes/{bike['bike_id']}"),
        lambda answer: answer.code == "BROKEN" and answer.body["location"] == "Han River",
        within=5,
    )
    await runner.step(
        "which only staff can see", member, "GET", f"{BASE}/bikes/{bike['bike_id']}", expect=404, code="not_found"
    )
    await runner.step(
        "the ledger adds up",
        member,
        "GET",
        f"{BASE}/deposits/me/entries",
        shows=lambda answer: counted(entry["kind"] for entry in answer.body["items"]),
        must=lambda answer: (
            None if sum(entry["amount"] for entry in answer.body["items"]) == 9_900 else "expected 9900"
        ),
    )


async def _one_bike(runner: StoryRunner, staff: Person) -> None:
    bike = await _registered(runner, staff, "B2")
    members = [runner.customer("first"), runner.customer("second")]
    for member in members:
        credit = {"amount": 5_000, "reason": "welcome"}
        await runner.step(
            f"staff credits {member.name.partition('-')[0]} 5,000 won",
            staff,
            "POST",
            f"{BASE}/deposits/{member.name}/credits",
            credit,
            expect=201,
            code="COMPLETED",
        )
    spare = await _registered(runner, staff, "B3")
    for member in members:  # a ride each: afterwards rides has their balances
        ride = await _started(runner, f"{member.name.partition('-')[0]} rides", member, spare)
        await runner.step(
            "staff ends the ride",
            staff,
            "POST",
            f"{BASE}/rides/{ride['ride_id']}/end",
            {"reason": "closing time", "location": "City Hall"},
            code="ENDED_BY_STAFF",
        )
        await runner.until(
            "the bike is free again",
            lambda: staff.send("GET", f"{BASE}/bikes/{spare['bike_id']}"),
            lambda answer: answer.code == "AVAILABLE",
            within=5,
        )
    text = "two members, one bike, the same instant"
    wish = {"bike_id": bike["bike_id"]}
    answers = await asyncio.gather(*(member.send("POST", f"{BASE}/rides", wish) for member in members))
    came = sorted((answer.status, answer.code) for answer in answers)
    outcome = " and ".join(f"{status} {code}" for status, code in came)
    runner.report(text, "POST", outcome, max(answer.took_ms for answer in answers))
    runner.require(came == [(201, "RIDING"), (409, "bike_not_available")], text, outcome)
    (winner,) = (pair for pair in zip(members, answers, strict=True) if pair[1].status == 201)
    path = f"{BASE}/rides/{winner[1].body['ride_id']}/return"
    await runner.step("and comes back", winner[0], "POST", path, {"location": "City Hall"}, code="RETURNED")


async def _declined(runner: StoryRunner, member: Person) -> None:
    await runner.step(
        "a card that is declined",
        member,
        "POST",
        f"{BASE}/deposits/top-ups",
        paying(5_000, "tok_declined"),
        expect=402,
        code="payment_declined",
    )


async def _unanswered(runner: StoryRunner, member: Person) -> Json | None:
    """The cancelled top-up; None where the provider's slowness is shorter than the time limit."""
    if runner.settings.payments_slow_seconds * 1000 <= runner.settings.payments_provider_ms:
        runner.report("the payment provider does not answer", "", "skipped: the provider is never slow here", 0)
        return None
    answer = await runner.step(
        "the payment provider does not answer",
        member,
        "POST",
        f"{BASE}/deposits/top-ups",
        paying(5_000, "tok_slow"),
        expect=503,
        code="payment_unavailable",
    )
    return answer.body


async def _nothing_kept(runner: StoryRunner, member: Person, top_up: Json) -> None:
    shown = await runner.until(
        "the unanswered payment: nothing is kept",
        lambda: member.send("GET", f"{BASE}/deposits/top-ups/{top_up['top_up_id']}"),
        lambda answer: answer.code == "CANCELLED" and answer.body["payment"]["status"] == "VOIDED",
        within=2 * runner.settings.payments_slow_seconds + 20,
        shows=lambda answer: f"{answer.code}, payment {answer.body['payment']['status']}",
    )
    runner.require(shown.body["balance"] is None, "the unanswered payment", "it is in the ledger")
