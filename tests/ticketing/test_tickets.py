"""Tickets: registered, changed, and expired by the clock of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.support.system import Json
from tests.ticketing.helpers import TICKETS, Person, Ticketing


def at(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


async def test_a_registered_ticket_has_the_fields_of_its_request(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket(base_price=0)

    assert ticket == await kim.get(f"/tickets/{ticket['ticket_id']}")
    assert (ticket["status"], ticket["base_price"], ticket["version"]) == ("AVAILABLE", 0, 1)
    assert "reservation_id" not in ticket


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ends_at": at(days=-2)}, "ends_at"),
        ({"starts_at": at(days=-3), "ends_at": at(days=-2)}, "ends_at"),
        ({"starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T09:00:00+09:00"}, "ends_at"),
        ({"ends_at": "2030-01-01T00:00:00"}, "ends_at"),
        ({"ends_at": "9999-12-31T23:59:59-12:00"}, "ends_at"),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, "starts_at"),
        ({"base_price": -1}, "base_price"),
        ({"base_price": 10**13}, "base_price"),
        ({"name": " "}, "name"),
        ({"status": "AVAILABLE"}, "status"),
    ],
)
async def test_an_invalid_ticket_is_refused(ticketing: Ticketing, changes: Json, field: str) -> None:
    body = {"name": "ferry", "starts_at": at(days=-1), "ends_at": at(days=1), "base_price": 100} | changes

    problem = await ticketing.staff.post("/tickets", body, expect=422)

    assert (problem["code"], [error["field"] for error in problem["errors"]]) == ("invalid", [field])


async def test_an_available_ticket_can_be_changed(ticketing: Ticketing) -> None:
    ticket = await ticketing.ticket()
    path = f"/tickets/{ticket['ticket_id']}"

    changed = await ticketing.staff.send("PATCH", path, {"name": "Ulleung ferry", "ends_at": at(days=3)})

    assert changed.status_code == 200
    after = changed.json()
    assert (after["name"], after["starts_at"], after["version"]) == ("Ulleung ferry", ticket["starts_at"], 2)
    assert after["ends_at"] > ticket["ends_at"]
    await ticketing.staff.wait_for(f"/board/{ticket['ticket_id']}", name="Ulleung ferry", version=2)


@pytest.mark.parametrize("changes", [{"ends_at": at(seconds=-5)}, {"starts_at": at(days=9)}])
async def test_a_change_to_invalid_times_is_refused(ticketing: Ticketing, changes: Json) -> None:
    ticket = await ticketing.ticket()

    answer = await ticketing.staff.send("PATCH", f"/tickets/{ticket['ticket_id']}", changes)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["ends_at"]


async def test_a_reserved_ticket_cannot_be_changed(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket()
    await kim.reserve(ticket)

    answer = await ticketing.staff.send("PATCH", f"/tickets/{ticket['ticket_id']}", {"name": "other"})

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["current_status"]) == (409, "wrong_state", "RESERVED")


async def test_tickets_are_listed_newest_first_and_by_status(ticketing: Ticketing, kim: Person) -> None:
    older, newer = await ticketing.ticket(), await ticketing.ticket()
    await kim.reserve(older)

    everything = [one["ticket_id"] for one in (await kim.get("/tickets"))["items"]]
    reserved = [one["ticket_id"] for one in (await kim.get("/tickets?status=RESERVED"))["items"]]

    assert everything[:2] == [newer["ticket_id"], older["ticket_id"]]
    assert reserved[0] == older["ticket_id"]
    assert newer["ticket_id"] not in reserved


async def test_at_its_end_a_ticket_expires_without_any_traffic(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket(seconds=1.2)

    await kim.wait_for(f"/board/{ticket['ticket_id']}", status="EXPIRED", version=2)

    row = await ticketing.system.one(
        TICKETS,
        "select modified_at >= ends_at as at_its_end, modified_at - ends_at as late"
        " from ticketing_tickets.tickets where ticket_id = $1",
        UUID(ticket["ticket_id"]),
    )
    assert row["at_its_end"]
    assert row["late"] < timedelta(seconds=2)
    assert await ticketing.ticket_events(ticket["ticket_id"]) == ["ticket_registered", "ticket_expired"]
    refusal = await kim.reserve(ticket, expect=409)
    assert refusal["code"] == "ticket_expired"
    answer = await ticketing.staff.send("PATCH", f"/tickets/{ticket['ticket_id']}", {"ends_at": at(days=1)})
    assert (answer.status_code, answer.json()["current_status"]) == (409, "EXPIRED")


async def test_a_ticket_expires_at_the_end_that_it_has_now(ticketing: Ticketing, kim: Person) -> None:
    sooner, later = await ticketing.ticket(), await ticketing.ticket(seconds=1.5)

    for ticket, ends_at in ((sooner, at(seconds=1)), (later, at(days=1))):
        answer = await ticketing.staff.send("PATCH", f"/tickets/{ticket['ticket_id']}", {"ends_at": ends_at})
        assert answer.status_code == 200

    await kim.wait_for(f"/tickets/{sooner['ticket_id']}", status="EXPIRED")
    query = "select 1 from ticketing_tickets.inbox where topic = $1 and story_id = $2 and state = 'done'"

    topic, ticket_id = "ticketing.tickets.expire_ticket", UUID(later["ticket_id"])
    await ticketing.system.wait_for_rows(TICKETS, query, topic, ticket_id)
    assert (await kim.get(f"/tickets/{later['ticket_id']}"))["status"] == "AVAILABLE"


async def test_a_cancelled_reservation_of_an_expired_ticket_leaves_it_expired(
    ticketing: Ticketing, kim: Person
) -> None:
    ticket = await ticketing.ticket(seconds=2)
    reservation = await kim.reserve(ticket)
    over = "select 1 from ticketing_tickets.tickets where ticket_id = $1 and now() >= ends_at"
    await ticketing.system.wait_for_rows(TICKETS, over, UUID(ticket["ticket_id"]))

    cancelled = await kim.cancel(reservation)

    assert cancelled["status"] == "CANCELLING"
    await kim.wait_for(f"/reservations/{reservation['reservation_id']}", status="CANCELLED")
    await kim.wait_for(f"/board/{ticket['ticket_id']}", status="EXPIRED", reservation=None)
    names = await ticketing.ticket_events(ticket["ticket_id"])
    assert [name for name in names if name != "hold_released"] == ["ticket_registered", "ticket_taken", "ticket_freed"]
