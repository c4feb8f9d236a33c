"""Prices: a breakdown for each grade, the effect of policies, and reservations that keep their price."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.support.system import Json
from tests.ticketing.helpers import PRICING, RESERVATIONS, Person, Ticketing


@pytest.fixture
async def sale(ticketing: Ticketing) -> AsyncIterator[list[Json]]:
    """Policies of a test; they apply to every ticket, and end with the test."""
    policies: list[Json] = []
    yield policies
    await ticketing.start_all()
    await ticketing.end(*policies)
    await ticketing.system.wait_until_idle()


def lines(price: Json) -> list[tuple[str, int]]:
    return [(line["name"], line["amount"]) for line in price["lines"]]


async def test_each_grade_has_its_price_line_by_line(
    ticketing: Ticketing, kim: Person, vip: Person, sale: list[Json]
) -> None:
    sale += [
        await ticketing.policy(10, name="friends", grade="VIP"),
        await ticketing.policy(2000, kind="amount", name="spring"),
        await ticketing.policy(10, name="early"),
    ]
    ticket = await ticketing.ticket(base_price=10_000)
    path = f"/prices/{ticket['ticket_id']}"

    for_kim = await kim.wait_for(path, total=7200)
    for_vip = await vip.get(path)

    assert for_kim["ticket_id"] == for_vip["ticket_id"] == ticket["ticket_id"]
    assert (for_kim["base"], for_kim["grade"], lines(for_kim)) == (
        10_000,
        "STANDARD",
        [("spring", 2000), ("early", 800)],
    )
    assert (for_vip["grade"], for_vip["total"]) == ("VIP", 6480)
    assert lines(for_vip) == [("spring", 2000), ("early", 800), ("friends", 720)]
    assert [line["policy_id"] for line in for_vip["lines"]] == [sale[n]["policy_id"] for n in (1, 2, 0)]
    assert [line["kind"] for line in for_vip["lines"]] == ["amount", "percent", "percent"]
    assert for_vip in (await vip.get("/prices"))["items"]


async def test_a_new_or_ended_policy_reprices_what_is_not_reserved_and_leaves_what_is(
    ticketing: Ticketing, kim: Person, lee: Person, sale: list[Json]
) -> None:
    taken, free = await ticketing.ticket(), await ticketing.ticket()
    mine = await kim.reserve(taken)

    policy = await ticketing.policy(50)
    sale.append(policy)
    await lee.wait_for(f"/prices/{free['ticket_id']}", total=5000)
    await ticketing.wait_for_known_price(free, 2)
    theirs = await lee.reserve(free)
    await ticketing.end(policy)
    await ticketing.system.wait_until_idle()

    assert (mine["price"]["total"], theirs["price"]["total"]) == (10_000, 5000)
    for person, reservation in ((kim, mine), (lee, theirs)):
        kept = await person.get(f"/reservations/{reservation['reservation_id']}")
        assert kept["price"] == reservation["price"]
        assert (await person.get(f"/board/{reservation['ticket_id']}"))["price"] == reservation["price"]
    await lee.cancel(theirs)
    await lee.wait_for(f"/prices/{free['ticket_id']}", total=10_000, lines=[])


async def test_a_policy_applies_from_its_beginning_until_just_before_its_end(
    ticketing: Ticketing, kim: Person, sale: list[Json]
) -> None:
    now = datetime.now(UTC)
    ticket = await ticketing.ticket()
    path = f"/prices/{ticket['ticket_id']}"

    begins, ends = now + timedelta(seconds=0.6), now + timedelta(seconds=1.4)
    sale.append(await ticketing.policy(30, valid_from=begins.isoformat(), valid_until=ends.isoformat()))
    sale.append(await ticketing.policy(70, valid_from=(now + timedelta(days=1)).isoformat()))
    sale.append(await ticketing.policy(90, valid_until=(now - timedelta(days=1)).isoformat()))
    before = await kim.get(path)

    await kim.wait_for(path, total=7000)
    after = await kim.wait_for(path, total=10_000)

    assert (before["total"], after["lines"]) == (10_000, [])


async def test_a_policy_applies_to_tickets_registered_at_the_same_time(
    ticketing: Ticketing, kim: Person, sale: list[Json]
) -> None:
    tickets, _, policy = await asyncio.gather(
        asyncio.gather(*(ticketing.ticket(priced=False) for _ in range(10))),
        asyncio.gather(*(ticketing.ticket(priced=False) for _ in range(10))),
        ticketing.policy(20),
    )
    sale.append(policy)

    for ticket in tickets:
        await kim.wait_for(f"/prices/{ticket['ticket_id']}", total=8000)


async def test_policies_are_listed_and_gone_when_deleted(ticketing: Ticketing, sale: list[Json]) -> None:
    policy = await ticketing.policy(500, kind="amount", name="coupon", grade="VIP")
    path = f"/discount-policies/{policy['policy_id']}"

    listed = await ticketing.staff.get("/discount-policies?limit=200")
    await ticketing.end(policy, policy)

    assert policy in listed["items"]
    assert (policy["status"], policy["value"], policy["grade"]) == ("ACTIVE", 500, "VIP")
    assert policy["policy_id"] not in str(await ticketing.staff.get("/discount-policies?limit=200"))
    assert policy["policy_id"] in str(await ticketing.staff.get("/discount-policies?status=ENDED&limit=200"))
    assert (await ticketing.staff.get(path))["status"] == "ENDED"
    unknown = await ticketing.staff.send("DELETE", f"/discount-policies/{uuid4()}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_a_ticket_without_a_price_cannot_be_reserved(ticketing: Ticketing, kim: Person) -> None:
    await ticketing.system.stop_until_unavailable(PRICING)
    ticket = await ticketing.ticket(priced=False)
    refusal = {"code": ""}

    for _ in range(3):
        refusal = (await kim.send("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})).json()
        if refusal["code"] != "not_found":
            break

    assert (refusal["code"], (await kim.get("/reservations"))["items"]) == ("not_priced_yet", [])
    await ticketing.system.start(PRICING)
    await ticketing.wait_for_known_price(ticket, 1)
    assert (await kim.reserve(ticket))["price"]["total"] == 10_000


async def test_a_ticket_without_a_price_has_a_code_of_its_own(ticketing: Ticketing, kim: Person) -> None:
    answer = await kim.send("GET", f"/prices/{uuid4()}")

    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (404, 404, "not_priced_yet")


async def test_the_next_member_pays_by_their_own_grade(
    ticketing: Ticketing, kim: Person, vip: Person, sale: list[Json]
) -> None:
    sale.append(await ticketing.policy(20, grade="VIP"))
    ticket = await ticketing.ticket()
    await vip.wait_for(f"/prices/{ticket['ticket_id']}", total=8000)
    prices = []

    for person in (vip, kim, vip, kim):
        reservation = await person.reserve(ticket)
        prices.append((reservation["price"]["total"], reservation["price"]["grade"]))
        await person.cancel(reservation)
        await person.wait_for(f"/reservations/{reservation['reservation_id']}", status="CANCELLED")

    assert prices == [(8000, "VIP"), (10_000, "STANDARD")] * 2
    assert (await vip.get(f"/prices/{ticket['ticket_id']}"))["total"] == 8000


# -- what repricing has not reached yet


@asynccontextmanager
async def not_repriced_yet(ticketing: Ticketing, ticket: Json, before: Json) -> AsyncIterator[None]:
    """Reservations knows the price of a ticket as it was before it was repriced."""
    where = "from ticketing_reservations.prices where ticket_id = $1"
    ticket_id = UUID(ticket["ticket_id"])
    (now,) = await ticketing.system.rows(RESERVATIONS, f"select standard, vip {where}", ticket_id)
    query = "update ticketing_reservations.prices set standard = $2, vip = $3 where ticket_id = $1"
    await ticketing.system.rows(RESERVATIONS, query, ticket_id, *[json.dumps(before)] * 2)
    yield
    await ticketing.system.rows(RESERVATIONS, query, ticket_id, now["standard"], now["vip"])


async def test_an_ended_policy_gives_nobody_its_price_whatever_repricing_has_reached(
    ticketing: Ticketing, kim: Person, sale: list[Json]
) -> None:
    half = await ticketing.policy(50, name="half")
    sale += [await ticketing.policy(1000, kind="amount", name="spring")]
    ticket = await ticketing.ticket(base_price=10_000)
    before = await kim.wait_for(f"/prices/{ticket['ticket_id']}", total=4_000)
    await ticketing.end(half)
    await ticketing.system.wait_until_idle()
    shown = {"ticket_id": ticket["ticket_id"], "expected_price": 4_000}

    async with not_repriced_yet(ticketing, ticket, before):
        refusal = await kim.post("/reservations", shown, expect=409)
        reservation = await kim.reserve(ticket)

    assert (refusal["code"], refusal["price"]) == ("price_changed", 9_000)
    assert (reservation["price"]["total"], lines(reservation["price"])) == (9_000, [("spring", 1000)])


async def test_a_policy_gives_nobody_its_price_from_its_end_on(
    ticketing: Ticketing, kim: Person, sale: list[Json]
) -> None:
    end = datetime.now(UTC) + timedelta(seconds=2)
    sale += [await ticketing.policy(50, name="half", valid_until=end.isoformat())]
    ticket = await ticketing.ticket(base_price=10_000)
    before = await kim.wait_for(f"/prices/{ticket['ticket_id']}", total=5_000)
    await kim.wait_for(f"/prices/{ticket['ticket_id']}", total=10_000)
    await ticketing.system.wait_until_idle()

    async with not_repriced_yet(ticketing, ticket, before):
        reservation = await kim.reserve(ticket)

    assert reservation["price"]["total"] == 10_000


async def test_another_price_than_expected_reserves_nothing(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket(base_price=10_000)
    wish = {"ticket_id": ticket["ticket_id"]}

    refusal = await kim.post("/reservations", wish | {"expected_price": 9_999}, expect=409)
    reservation = await kim.post("/reservations", wish | {"expected_price": 10_000})

    assert (refusal["code"], refusal["price"]) == ("price_changed", 10_000)
    assert reservation["status"] == "RESERVED"


async def test_a_policy_of_another_version_is_not_ended(ticketing: Ticketing, sale: list[Json]) -> None:
    policy = await ticketing.policy(10)
    sale.append(policy)
    path = f"/discount-policies/{policy['policy_id']}"

    stale = await ticketing.staff.send("DELETE", path, {"expected_version": 2})
    still = await ticketing.staff.get(path)
    ended = await ticketing.staff.send("DELETE", path, {"expected_version": 1})
    again = await ticketing.staff.send("DELETE", path, {"expected_version": 1})

    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (409, "stale_version", 1)
    assert still["status"] == "ACTIVE"
    assert (ended.status_code, (await ticketing.staff.get(path))["status"]) == (204, "ENDED")
    assert (again.status_code, again.json()["version"]) == (409, 2)


async def test_a_ticket_of_another_version_is_not_changed(ticketing: Ticketing) -> None:
    ticket = await ticketing.ticket()
    path = f"/tickets/{ticket['ticket_id']}"

    stale = await ticketing.staff.send("PATCH", path, {"name": "a", "expected_version": ticket["version"] + 1})
    changed = await ticketing.staff.send("PATCH", path, {"name": "b", "expected_version": ticket["version"]})

    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (409, "stale_version", 1)
    assert (changed.status_code, changed.json()["name"]) == (200, "b")
