"""Cancelling as a saga, holds whose holder is asked, and news that comes late, twice, or in the wrong order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest

from contracts.ticketing.pricing import RestorePrice
from contracts.ticketing.tickets import ConfirmHold, FreeTicket, TakeTicket
from tests.conftest import MakeSettings
from tests.support.system import eventually
from tests.ticketing.words import (
    PRICING,
    RESERVATIONS,
    TICKETS,
    Box,
    Person,
    Thing,
    at_work,
    away,
    box_with,
    check_now,
    discrepancies,
    said_again,
    tell,
)
from workers.runtime.processing import failpoints


@pytest.fixture(scope="module")
async def open_box(make_settings: MakeSettings) -> AsyncIterator[Box]:
    async with box_with(make_settings, ticketing_take_ms=1000) as running:
        yield running


@pytest.fixture
async def box(open_box: Box) -> Box:
    """Every context of ticketing runs, and is known to, when a story begins."""
    await at_work(open_box)
    return open_box


async def hold_of(box: Box, reservation_id: object) -> str:
    """How tickets knows a reservation."""
    query = "select status from ticketing_tickets.holds where reservation_id = $1"
    rows = await box.system.rows(TICKETS, query, UUID(str(reservation_id)))
    return rows[0]["status"] if rows else ""


async def price_of(box: Box, reservation: Thing) -> tuple[str, int]:
    """How pricing knows a reservation, and the won it froze."""
    query = """select status, (price ->> 'total')::int as total from ticketing_pricing.frozen_prices
        where reservation_id = $1"""
    rows = await box.system.rows(PRICING, query, UUID(reservation["reservation_id"]))
    return (rows[0]["status"], rows[0]["total"]) if rows else ("", 0)


# -- cancelling


async def test_a_cancellation_is_accepted_while_pricing_is_down_and_ends_when_it_is_back(
    box: Box, kim: Person, lee: Person
) -> None:
    ticket = await box.ticket()
    reservation = await kim.reserve(ticket)
    path = f"/reservations/{reservation['reservation_id']}"
    await box.system.wait_until_idle()
    await away(box, PRICING)

    cancelling = await kim.cancel(reservation)
    await kim.sees(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    await box.system.wait_until_idle()
    waiting = await kim.get(path)
    others = await lee.reserve(ticket)
    await box.system.start(PRICING)

    assert (cancelling["status"], waiting["status"], others["status"]) == ("CANCELLING", "CANCELLING", "RESERVED")
    await kim.sees(path, status="CANCELLED", version=4)
    await box.system.wait_until_idle()
    assert await price_of(box, reservation) == ("RESTORED", 10_000)
    assert await price_of(box, others) == ("FROZEN", 10_000)
    assert await discrepancies(box.system) == []


async def test_a_cancellation_waits_for_tickets_as_well(box: Box, kim: Person) -> None:
    reservation = await kim.reserve(await box.ticket())
    path = f"/reservations/{reservation['reservation_id']}"
    await away(box, TICKETS)

    await kim.cancel(reservation)
    await box.system.wait_until_idle()
    waiting = await kim.get(path)
    await box.system.start(TICKETS)

    assert waiting["status"] == "CANCELLING"
    await kim.sees(path, status="CANCELLED")


async def test_a_late_or_repeated_cancel_does_nothing_to_whoever_has_the_ticket_now(
    box: Box, kim: Person, lee: Person
) -> None:
    ticket = await box.ticket()
    first = await kim.reserve(ticket)
    await kim.cancel(first)
    await kim.sees(f"/reservations/{first['reservation_id']}", status="CANCELLED")
    second = await lee.reserve(ticket)
    await box.system.wait_until_idle()
    ids = {"reservation_id": first["reservation_id"], "ticket_id": ticket["ticket_id"]}

    await tell(box.system, *([FreeTicket(**ids), RestorePrice(**ids)] * 3))
    await kim.cancel(first)
    await box.system.wait_until_idle()

    assert (await lee.get(f"/reservations/{second['reservation_id']}")) == second
    assert (await lee.get(f"/board/{ticket['ticket_id']}"))["reservation"]["reservation_id"] == second["reservation_id"]
    assert await hold_of(box, second["reservation_id"]) == "CONFIRMED"
    assert (await price_of(box, first), await price_of(box, second)) == (("RESTORED", 10_000), ("FROZEN", 10_000))
    assert box.told_of(TICKETS, "ticket_id", ticket["ticket_id"]).count("ticket_freed") == 1
    released = [body for topic, body in box.system.events if topic.endswith("hold_released") and body["version"]]
    assert sum(body["reservation_id"] == first["reservation_id"] for body in released) == 4


async def test_what_was_given_up_before_it_was_done_is_never_done(box: Box, kim: Person) -> None:
    ticket, ids = await box.ticket(), {"reservation_id": uuid4()}
    ids["ticket_id"] = UUID(ticket["ticket_id"])
    await tell(box.system, FreeTicket(**ids), RestorePrice(**ids))
    await box.system.wait_until_idle()

    refusal = await box.system.refused(TakeTicket(**ids))

    assert refusal["code"] == "ticket_not_available"
    for topic in ("ticketing.tickets.hold_released", "ticketing.pricing.price_restored"):
        assert [body for body in box.system.events_of(topic) if body["reservation_id"] == str(ids["reservation_id"])]
    assert (await kim.reserve(ticket))["status"] == "RESERVED"


# -- a silent or absent tickets


@contextmanager
def first_answer_of_tickets_is_held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tickets does its work, and its answer comes when nobody waits any more."""
    released, held = asyncio.Event(), list[str]()

    async def hold(context: str, place: str) -> None:
        if (context, place) == (TICKETS, "committed") and not held:
            held.append(place)
            await released.wait()

    monkeypatch.setattr(failpoints, "hook", hold)
    try:
        yield
    finally:
        released.set()
    assert held


async def test_a_take_that_nobody_heard_leaves_no_half_reservation(
    box: Box, kim: Person, lee: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await box.ticket()
    await box.system.wait_until_idle()

    with first_answer_of_tickets_is_held_back(monkeypatch):
        answer = await kim.ask("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})

    refusal = answer.json()
    assert (answer.status_code, refusal["code"], refusal["current_status"]) == (503, "ticket_unavailable", "REJECTED")
    assert int(answer.headers["retry-after"]) >= 1
    await kim.sees(f"/reservations/{refusal['reservation_id']}", status="REJECTED", reason="ticket_unavailable")
    await kim.sees(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    assert await hold_of(box, refusal["reservation_id"]) == "RELEASED"
    assert (await lee.reserve(ticket))["status"] == "RESERVED"


async def test_while_tickets_is_down_nothing_is_begun(box: Box, kim: Person) -> None:
    ticket = await box.ticket()
    await away(box, TICKETS)

    answer = await kim.ask("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert (await kim.get("/reservations"))["items"] == []


async def test_a_reservation_is_made_at_its_copy_of_the_price_while_pricing_is_down(box: Box, vip: Person) -> None:
    ticket = await box.ticket()
    await away(box, PRICING)

    reservation = await vip.reserve(ticket)
    await box.system.start(PRICING)
    await box.system.wait_until_idle()

    assert reservation["price"] == {"base": 10_000, "lines": [], "total": 10_000, "grade": "VIP"}
    assert await price_of(box, reservation) == ("FROZEN", 10_000)


# -- holds that nobody confirmed


async def test_a_hold_of_nobodys_reservation_is_freed_by_asking_and_never_by_time(box: Box, kim: Person) -> None:
    ticket, stranger = await box.ticket(), uuid4()
    await away(box, RESERVATIONS)
    await box.system.done(TakeTicket(ticket_id=ticket["ticket_id"], reservation_id=stranger))

    for _ in range(3):
        await check_now(box, stranger)
    held = await kim.get(f"/tickets/{ticket['ticket_id']}")
    await box.system.start(RESERVATIONS)

    assert held["status"] == "RESERVED"
    await kim.sees(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    assert await hold_of(box, stranger) == "RELEASED"
    tombstones = await box.system.rows(
        RESERVATIONS, "select 1 from ticketing_reservations.holders where reservation_id = $1", stranger
    )
    assert len(tombstones) == 1
    await check_now(box, stranger)


async def test_a_confirmed_reservation_keeps_its_ticket_however_late_its_confirmation_travels(
    box: Box, kim: Person, lee: Person
) -> None:
    """The confirmation is lost: asked for, the reservation confirms again."""
    ticket = await box.ticket()
    reservation = await kim.reserve(ticket)
    await box.system.wait_until_idle()
    query = "update ticketing_tickets.holds set status = 'HELD' where reservation_id = $1"
    await box.system.rows(TICKETS, query, UUID(reservation["reservation_id"]))

    await check_now(box, reservation["reservation_id"])

    async def confirmed() -> bool:
        return await hold_of(box, reservation["reservation_id"]) == "CONFIRMED"

    await eventually(confirmed)
    await check_now(box, reservation["reservation_id"])
    assert (await lee.reserve(ticket, expect=409))["code"] == "ticket_not_available"
    assert (await kim.get(f"/reservations/{reservation['reservation_id']}"))["version"] == 2


async def test_a_confirmation_that_comes_after_the_release_brings_nothing_back(box: Box, kim: Person) -> None:
    reservation = await kim.reserve(await box.ticket())
    await kim.cancel(reservation)
    await kim.sees(f"/reservations/{reservation['reservation_id']}", status="CANCELLED")

    await tell(
        box.system, ConfirmHold(ticket_id=reservation["ticket_id"], reservation_id=reservation["reservation_id"])
    )
    await box.system.wait_until_idle()

    assert await hold_of(box, reservation["reservation_id"]) == "RELEASED"


# -- disorder


async def test_everything_said_again_twice_in_any_order_changes_nothing(
    box: Box, kim: Person, lee: Person, vip: Person
) -> None:
    policy = await box.policy(10, grade="VIP")
    tickets = [await box.ticket() for _ in range(3)]
    for ticket in tickets:
        await vip.sees(f"/prices/{ticket['ticket_id']}", total=9000)
        for person in (kim, vip, lee):
            reservation = await person.reserve(ticket)
            await person.cancel(reservation)
            await person.sees(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    last = [await vip.reserve(ticket) for ticket in tickets[:2]]
    await box.system.wait_until_idle()
    before = [await box.staff.get(f"/{where}?limit=200") for where in ("tickets", "reservations", "prices")]

    await said_again(box.system, random.Random(7))
    await box.system.wait_until_idle(within=40)

    assert [await box.staff.get(f"/{where}?limit=200") for where in ("tickets", "reservations", "prices")] == before
    assert [reservation["price"]["total"] for reservation in last] == [9000, 9000]
    assert await discrepancies(box.system) == []
    await box.end(policy)
    await box.system.wait_until_idle()
