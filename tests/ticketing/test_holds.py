"""The saga of a cancellation, holds that are checked, and messages that come late, twice, or in another order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from contracts.base import CATALOGUE
from contracts.ticketing.pricing import RestorePrice
from contracts.ticketing.tickets import ConfirmHold, FreeTicket, TakeTicket
from tests.conftest import MakeSettings
from tests.support.failpoints import paused
from tests.support.system import Json
from tests.ticketing.helpers import (
    PRICING,
    RESERVATIONS,
    TICKETS,
    Person,
    Ticketing,
    discrepancies,
    ticketing_with,
)


@pytest.fixture(scope="module")
async def running_ticketing(make_settings: MakeSettings) -> AsyncIterator[Ticketing]:
    async with ticketing_with(make_settings, ticketing_take_ms=1000) as running:
        yield running


@pytest.fixture
async def ticketing(running_ticketing: Ticketing) -> Ticketing:
    """Ticketing, of which every context runs and answers when a test begins."""
    await running_ticketing.start_all()
    return running_ticketing


async def hold_of(ticketing: Ticketing, reservation_id: object) -> str:
    """The status of a reservation's hold in tickets; empty when there is none."""
    query = "select status from ticketing_tickets.holds where reservation_id = $1"
    rows = await ticketing.system.rows(TICKETS, query, UUID(str(reservation_id)))
    return rows[0]["status"] if rows else ""


async def price_of(ticketing: Ticketing, reservation: Json) -> tuple[str, int]:
    """The status of a reservation's frozen price in pricing, and its won."""
    query = """select status, (price ->> 'total')::int as total from ticketing_pricing.frozen_prices
        where reservation_id = $1"""
    rows = await ticketing.system.rows(PRICING, query, UUID(reservation["reservation_id"]))
    return (rows[0]["status"], rows[0]["total"]) if rows else ("", 0)


# -- cancelling


async def test_a_cancellation_is_accepted_while_pricing_is_stopped_and_ends_when_it_starts(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    ticket = await ticketing.ticket()
    reservation = await kim.reserve(ticket)
    path = f"/reservations/{reservation['reservation_id']}"
    await ticketing.system.wait_until_idle()
    await ticketing.system.stop_until_unavailable(PRICING)

    cancelling = await kim.cancel(reservation)
    await kim.wait_for(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    await ticketing.system.wait_until_idle()
    waiting = await kim.get(path)
    others = await lee.reserve(ticket)
    await ticketing.system.start(PRICING)

    assert (cancelling["status"], waiting["status"], others["status"]) == ("CANCELLING", "CANCELLING", "RESERVED")
    await kim.wait_for(path, status="CANCELLED", version=4)
    await ticketing.system.wait_until_idle()
    assert await price_of(ticketing, reservation) == ("RESTORED", 10_000)
    assert await price_of(ticketing, others) == ("FROZEN", 10_000)
    assert await discrepancies(ticketing.system) == []


async def test_a_cancellation_waits_for_tickets_as_well(ticketing: Ticketing, kim: Person) -> None:
    reservation = await kim.reserve(await ticketing.ticket())
    path = f"/reservations/{reservation['reservation_id']}"
    await ticketing.system.stop_until_unavailable(TICKETS)

    await kim.cancel(reservation)
    await ticketing.system.wait_until_idle()
    waiting = await kim.get(path)
    await ticketing.system.start(TICKETS)

    assert waiting["status"] == "CANCELLING"
    await kim.wait_for(path, status="CANCELLED")


async def test_a_late_or_repeated_cancellation_does_not_touch_the_next_reservation(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    ticket = await ticketing.ticket()
    first = await kim.reserve(ticket)
    await ticketing.system.wait_until_idle()
    await kim.cancel(first)
    await kim.wait_for(f"/reservations/{first['reservation_id']}", status="CANCELLED")
    second = await lee.reserve(ticket)
    await ticketing.system.wait_until_idle()
    ids = {"reservation_id": first["reservation_id"], "ticket_id": ticket["ticket_id"]}

    await ticketing.system.publish(*([FreeTicket(**ids), RestorePrice(**ids)] * 3))
    await kim.cancel(first)
    await ticketing.system.wait_until_idle()

    assert (await lee.get(f"/reservations/{second['reservation_id']}")) == second
    assert (await lee.get(f"/board/{ticket['ticket_id']}"))["reservation"]["reservation_id"] == second["reservation_id"]
    assert await hold_of(ticketing, second["reservation_id"]) == "CONFIRMED"
    assert (await price_of(ticketing, first), await price_of(ticketing, second)) == (
        ("RESTORED", 10_000),
        ("FROZEN", 10_000),
    )
    assert (await ticketing.ticket_events(ticket["ticket_id"])).count("ticket_freed") == 1
    released = ticketing.system.events_of("ticketing.tickets.hold_released", reservation_id=first["reservation_id"])
    assert sum(body["version"] > 0 for body in released) == 4


async def test_a_take_after_its_release_is_refused(ticketing: Ticketing, kim: Person) -> None:
    ticket, ids = await ticketing.ticket(), {"reservation_id": uuid4()}
    ids["ticket_id"] = UUID(ticket["ticket_id"])
    await ticketing.system.publish(FreeTicket(**ids), RestorePrice(**ids))
    await ticketing.system.wait_until_idle()

    refusal = await ticketing.system.refused(TakeTicket(**ids))

    assert refusal["code"] == "ticket_not_available"
    for topic in ("ticketing.tickets.hold_released", "ticketing.pricing.price_restored"):
        assert ticketing.system.events_of(topic, reservation_id=ids["reservation_id"])
    assert (await kim.reserve(ticket))["status"] == "RESERVED"


# -- contexts without an answer


async def test_a_take_whose_answer_is_lost_leaves_no_unfinished_reservation(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    ticket = await ticketing.ticket()
    await ticketing.system.wait_until_idle()

    async with paused(TICKETS, "committed"):
        answer = await kim.send("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})

    refusal = answer.json()
    assert (answer.status_code, refusal["code"], refusal["current_status"]) == (503, "ticket_unavailable", "REJECTED")
    assert int(answer.headers["retry-after"]) >= 1
    await kim.wait_for(f"/reservations/{refusal['reservation_id']}", status="REJECTED", reason="ticket_unavailable")
    await kim.wait_for(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    assert await hold_of(ticketing, refusal["reservation_id"]) == "RELEASED"
    assert (await lee.reserve(ticket))["status"] == "RESERVED"


async def test_no_reservation_starts_while_tickets_is_stopped(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket()
    await ticketing.system.stop_until_unavailable(TICKETS)

    answer = await kim.send("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert (await kim.get("/reservations"))["items"] == []


async def test_a_reservation_is_made_at_the_known_price_while_pricing_is_stopped(
    ticketing: Ticketing, vip: Person
) -> None:
    ticket = await ticketing.ticket()
    await ticketing.system.stop_until_unavailable(PRICING)

    reservation = await vip.reserve(ticket)
    await ticketing.system.start(PRICING)
    await ticketing.system.wait_until_idle()

    assert reservation["price"] == {"base": 10_000, "lines": [], "total": 10_000, "grade": "VIP"}
    assert await price_of(ticketing, reservation) == ("FROZEN", 10_000)


# -- holds that are not confirmed


async def test_a_hold_of_an_unknown_reservation_is_freed_by_a_query_and_never_by_time(
    ticketing: Ticketing, kim: Person
) -> None:
    ticket, stranger = await ticketing.ticket(), uuid4()
    await ticketing.system.stop_until_unavailable(RESERVATIONS)
    await ticketing.system.done(TakeTicket(ticket_id=ticket["ticket_id"], reservation_id=stranger))

    for _ in range(3):
        await ticketing.check_hold(stranger)
    held = await kim.get(f"/tickets/{ticket['ticket_id']}")
    await ticketing.system.start(RESERVATIONS)

    assert held["status"] == "RESERVED"
    await kim.wait_for(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    assert await hold_of(ticketing, stranger) == "RELEASED"
    tombstones = await ticketing.system.rows(
        RESERVATIONS, "select 1 from ticketing_reservations.holders where reservation_id = $1", stranger
    )
    assert len(tombstones) == 1
    await ticketing.check_hold(stranger)


async def test_a_reservation_keeps_its_ticket_when_its_confirmation_is_lost(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    """The confirmation is lost; when the hold is checked, the reservation confirms again."""
    ticket = await ticketing.ticket()
    reservation = await kim.reserve(ticket)
    await ticketing.system.wait_until_idle()
    query = "update ticketing_tickets.holds set status = 'HELD' where reservation_id = $1"
    await ticketing.system.rows(TICKETS, query, UUID(reservation["reservation_id"]))

    await ticketing.check_hold(reservation["reservation_id"])

    confirmed = "select 1 from ticketing_tickets.holds where reservation_id = $1 and status = 'CONFIRMED'"
    await ticketing.system.wait_for_rows(TICKETS, confirmed, UUID(reservation["reservation_id"]))
    await ticketing.check_hold(reservation["reservation_id"])
    assert (await lee.reserve(ticket, expect=409))["code"] == "ticket_not_available"
    assert (await kim.get(f"/reservations/{reservation['reservation_id']}"))["version"] == 2


async def test_a_confirmation_that_comes_after_the_release_brings_nothing_back(
    ticketing: Ticketing, kim: Person
) -> None:
    reservation = await kim.reserve(await ticketing.ticket())
    await kim.cancel(reservation)
    await kim.wait_for(f"/reservations/{reservation['reservation_id']}", status="CANCELLED")

    await ticketing.system.publish(
        ConfirmHold(ticket_id=reservation["ticket_id"], reservation_id=reservation["reservation_id"])
    )
    await ticketing.system.wait_until_idle()

    assert await hold_of(ticketing, reservation["reservation_id"]) == "RELEASED"


# -- repeated events


async def test_all_events_repeated_twice_in_any_order_change_nothing(
    ticketing: Ticketing, kim: Person, lee: Person, vip: Person
) -> None:
    policy = await ticketing.policy(10, grade="VIP")
    tickets = [await ticketing.ticket() for _ in range(3)]
    for ticket in tickets:
        await vip.wait_for(f"/prices/{ticket['ticket_id']}", total=9000)
        for person in (kim, vip, lee):
            reservation = await person.reserve(ticket)
            await person.cancel(reservation)
            await person.wait_for(f"/tickets/{ticket['ticket_id']}", status="AVAILABLE")
    last = [await vip.reserve(ticket) for ticket in tickets[:2]]
    await ticketing.system.wait_until_idle()
    before = [await ticketing.staff.get(f"/{where}?limit=200") for where in ("tickets", "reservations", "prices")]

    events = [CATALOGUE[topic].model_validate(body) for topic, body in ticketing.system.events] * 2
    random.Random(7).shuffle(events)
    await ticketing.system.publish(*events)
    await ticketing.system.wait_until_idle(within=40)

    assert [
        await ticketing.staff.get(f"/{where}?limit=200") for where in ("tickets", "reservations", "prices")
    ] == before
    assert [reservation["price"]["total"] for reservation in last] == [9000, 9000]
    assert await discrepancies(ticketing.system) == []
    await ticketing.end(policy)
    await ticketing.system.wait_until_idle()
