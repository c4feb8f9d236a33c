"""The board: every ticket in one query, without its writers, and in whatever order events come."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.base import CATALOGUE, Event
from contracts.ticketing.board import ListBoard, ShowBoard
from contracts.ticketing.tickets import TicketFreed, TicketRegistered, TicketStatus, TicketTaken
from storage.migrations import migrate
from storage.ticketing import board as store
from storage.views import ViewDatabase
from tests.support.system import STAFF, Json, customer
from tests.support.view_databases import rebuild_view, rows_of
from tests.ticketing.helpers import BOARD, PRICING, RESERVATIONS, TICKETS, Person, Ticketing
from workers.runtime.projections.view import apply
from workers.ticketing.board import board

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def what(entry: Json) -> list[str]:
    return [line["what"] for line in entry["timeline"]]


async def test_the_board_has_every_event_of_a_ticket(ticketing: Ticketing, kim: Person) -> None:
    ticket = await ticketing.ticket()
    path = f"/board/{ticket['ticket_id']}"
    reservation = await kim.reserve(ticket)
    reserved = await kim.wait_for(path, status="RESERVED", reservation={"status": "RESERVED"})
    await kim.cancel(reservation)
    await kim.wait_for(f"/reservations/{reservation['reservation_id']}", status="CANCELLED")
    await ticketing.system.wait_until_idle()

    freed = await kim.get(path)

    assert reserved["reservation"] == {
        "reservation_id": reservation["reservation_id"],
        "member_id": kim.name,
        "status": "RESERVED",
    }
    assert reserved["price"] == reservation["price"]
    assert (freed["status"], freed["reservation"], freed["version"]) == ("AVAILABLE", None, 3)
    assert set(what(freed)) == {
        "TicketRegistered",
        "PriceAssigned",
        "ReservationStarted",
        "TicketTaken",
        "TicketReserved",
        "PriceFrozen",
        "ReservationCancelling",
        "TicketFreed",
        "PriceRestored",
        "ReservationCancelled",
    }
    assert what(freed)[0] == "TicketRegistered"
    assert [line["at"] for line in freed["timeline"]] == sorted(line["at"] for line in freed["timeline"])
    assert datetime.fromisoformat(freed["as_of"]) > datetime.fromisoformat(ticket["created_at"])


async def test_who_reserved_is_shown_to_that_member_and_to_staff_only(
    ticketing: Ticketing, kim: Person, lee: Person, vip: Person
) -> None:
    policy = await ticketing.policy(10, grade="VIP")
    ticket = await ticketing.ticket()
    path = f"/board/{ticket['ticket_id']}"
    await vip.wait_for(f"/prices/{ticket['ticket_id']}", total=9000)
    reservation = await vip.reserve(ticket)
    await vip.post(
        f"/reservations/{(await kim.reserve(ticket, expect=409))['reservation_id']}/cancellation", expect=404
    )
    await ticketing.system.wait_until_idle()

    for person in (vip, ticketing.staff):
        seen = await person.get(path)
        assert seen["reservation"] == {
            "reservation_id": reservation["reservation_id"],
            "member_id": vip.name,
            "status": "RESERVED",
        }
        assert seen["price"] == reservation["price"]
        assert "TicketReserved" in what(seen)
    for person in (kim, lee):
        seen = await person.get(path)
        listed = [one for one in (await person.get("/board"))["items"] if one["ticket_id"] == ticket["ticket_id"]]
        assert seen["reservation"] == {"reservation_id": None, "member_id": None, "status": "RESERVED"}
        assert (seen["price"]["total"], seen["price"]["grade"]) == (10_000, "STANDARD")
        assert listed == [{name: seen[name] for name in seen if name not in ("timeline", "as_of")}]
        assert not [text for text in (vip.name, reservation["reservation_id"]) if text in json.dumps([seen, listed])]
        assert "TicketReserved" not in what(seen)
    assert "ReservationRejected" in what(await kim.get(path))
    assert "ReservationRejected" not in what(await lee.get(path))
    await ticketing.end(policy)
    await ticketing.system.wait_until_idle()


async def test_the_board_answers_while_all_its_writers_are_stopped(ticketing: Ticketing, kim: Person) -> None:
    reservation = await kim.reserve(await ticketing.ticket())
    path = f"/board/{reservation['ticket_id']}"
    before = await kim.wait_for(path, reservation={"status": "RESERVED"}, price=reservation["price"])
    await ticketing.system.wait_until_idle()
    await ticketing.system.stop_until_unavailable(TICKETS, PRICING, RESERVATIONS)

    seen = await kim.get(f"{path}?min_version=2")
    listed = await kim.get("/board?status=RESERVED")

    assert {**seen, "as_of": "", "timeline": []} == {**before, "as_of": "", "timeline": []}
    assert reservation["ticket_id"] in [item["ticket_id"] for item in listed["items"]]
    await ticketing.start_all()


async def test_a_query_right_after_a_change_waits_for_the_version_that_it_names(ticketing: Ticketing) -> None:
    ticket = await ticketing.ticket(priced=False)
    for version in (2, 3, 4):
        changed = await ticketing.staff.send("PATCH", f"/tickets/{ticket['ticket_id']}", {"name": f"ferry {version}"})

        seen = await ticketing.staff.get(f"/board/{ticket['ticket_id']}?min_version={changed.json()['version']}")

        assert (seen["name"], seen["version"]) == (f"ferry {version}", version)


async def test_the_board_is_listed_by_pages_and_by_status(ticketing: Ticketing, kim: Person) -> None:
    tickets = [await ticketing.ticket() for _ in range(3)]
    await kim.reserve(tickets[0])
    await kim.wait_for(f"/board/{tickets[0]['ticket_id']}", status="RESERVED")

    first = await kim.get("/board?limit=2")
    rest = await kim.get(f"/board?limit=1&cursor={first['next_cursor']}")

    ids = [item["ticket_id"] for item in first["items"] + rest["items"]]
    assert ids == [ticket["ticket_id"] for ticket in reversed(tickets)]
    assert tickets[0]["ticket_id"] == (await kim.get("/board?status=RESERVED"))["items"][0]["ticket_id"]
    assert (await kim.send("GET", "/board?cursor=nonsense")).status_code == 422


async def test_a_rebuild_gives_the_same_rows(ticketing: Ticketing, kim: Person) -> None:
    reservation = await kim.reserve(await ticketing.ticket())
    await kim.cancel(reservation)
    await kim.wait_for(f"/reservations/{reservation['reservation_id']}", status="CANCELLED")
    await ticketing.system.start("journal")
    await ticketing.system.wait_until_idle()
    before = await rows_of(ticketing.system, BOARD)

    applied = await rebuild_view(ticketing.system, BOARD)

    after = await rows_of(ticketing.system, BOARD)
    assert applied >= sum(len(rows) for name, rows in before.items() if name == "timeline") > 0
    assert after == before
    await ticketing.system.stop("journal")


# -- without its writers


class TicketEvents:
    """The events of a ticket that is taken and freed, which no other context knows."""

    def __init__(self) -> None:
        self.ticket_id, self.reservation_id = uuid4(), uuid4()

    def _ticket(self, kind: type[Event], status: TicketStatus, version: int) -> Event:
        known: dict[str, Any] = {
            "ticket_id": self.ticket_id,
            "name": "ferry",
            "starts_at": NOW,
            "ends_at": NOW + timedelta(days=999),
            "base_price": 1000,
            "status": status,
            "reservation_id": self.reservation_id if status is TicketStatus.RESERVED else None,
            "registered_by": "staff",
            "created_at": NOW,
            "modified_at": NOW + timedelta(seconds=version),
            "version": version,
        }
        return kind(**known)

    def in_order(self) -> list[Event]:
        return [
            self._ticket(TicketRegistered, TicketStatus.AVAILABLE, 1),
            self._ticket(TicketTaken, TicketStatus.RESERVED, 2),
            self._ticket(TicketFreed, TicketStatus.AVAILABLE, 3),
        ]


@pytest.fixture
async def in_sqlite(tmp_path: Path) -> Any:
    """A board in SQLite."""
    url = f"sqlite+aiosqlite:///{tmp_path}/board.db"
    await asyncio.to_thread(migrate, BOARD, url)
    view = ViewDatabase(board.tables, url)
    view.open()
    yield view
    await view.close()


async def test_events_in_any_order_and_twice_give_the_same_board(in_sqlite: ViewDatabase) -> None:
    for order in itertools.permutations(range(3)):
        ticket = TicketEvents()
        for place in (*order, *order):
            await apply(board, in_sqlite, [ticket.in_order()[place]])

        async with in_sqlite.read() as connection:
            entry = await store.ticket_queries.find(connection, ShowBoard(ticket_id=ticket.ticket_id, caller=STAFF))

        assert entry is not None
        assert (entry.status, entry.reservation, entry.version) == (TicketStatus.AVAILABLE, None, 3)
        assert [line.what for line in entry.timeline] == ["TicketRegistered", "TicketTaken", "TicketFreed"]


async def test_the_board_in_sqlite_has_the_same_entries(
    ticketing: Ticketing, vip: Person, in_sqlite: ViewDatabase
) -> None:
    reservation = await vip.reserve(await ticketing.ticket())
    await ticketing.system.wait_until_idle()
    events = [
        CATALOGUE[topic].model_validate(body) for topic, body in ticketing.system.events if topic in board.projections
    ]

    await apply(board, in_sqlite, events)

    for caller in (vip.caller, STAFF, customer()):
        there = await ticketing.system.done(ShowBoard(ticket_id=UUID(reservation["ticket_id"]), caller=caller))
        async with in_sqlite.read() as connection:
            here = await store.ticket_queries.find(
                connection, ShowBoard(ticket_id=UUID(reservation["ticket_id"]), caller=caller)
            )
            page = await store.ticket_queries.newest(connection, ListBoard(caller=caller, limit=1))
        assert here is not None
        assert {**json.loads(here.model_dump_json()), "as_of": ""} == {**there, "as_of": ""}
        assert len(page.items) == 1


async def test_a_member_sees_current_and_past_reservations_also_while_the_writers_are_stopped(
    ticketing: Ticketing, kim: Person, lee: Person
) -> None:
    staff = ticketing.staff
    first, second = await ticketing.ticket(), await ticketing.ticket()
    cancelled = await kim.reserve(first)
    await kim.cancel(cancelled)
    await kim.wait_for(f"/reservations/{cancelled['reservation_id']}", status="CANCELLED")
    kept, of_lee = await kim.reserve(second), await lee.reserve(first)
    paths = [f"/board/reservations/{one['reservation_id']}" for one in (cancelled, kept, of_lee)]
    await kim.wait_for(paths[0], status="CANCELLED", ticket={"status": "RESERVED"})
    await kim.wait_for(paths[1], status="RESERVED", ticket={"status": "RESERVED"})
    await lee.wait_for(paths[2], status="RESERVED")
    await ticketing.system.wait_until_idle()
    await ticketing.system.stop(TICKETS, PRICING, RESERVATIONS)

    listed = await kim.get("/board/reservations")
    entry = await kim.get(paths[0])
    everybodys = await staff.get("/board/reservations?limit=200")

    assert [item["reservation_id"] for item in listed["items"]] == [kept["reservation_id"], cancelled["reservation_id"]]
    assert [item["status"] for item in listed["items"]] == ["RESERVED", "CANCELLED"]
    assert [item["price"] for item in listed["items"]] == [kept["price"], cancelled["price"]]
    assert [item["ticket"]["name"] for item in listed["items"]] == [second["name"], first["name"]]
    assert set(what(entry)) == {
        "ReservationStarted",
        "TicketReserved",
        "PriceFrozen",
        "ReservationCancelling",
        "PriceRestored",
        "ReservationCancelled",
    }
    assert {one["reservation_id"] for one in (cancelled, kept, of_lee)} <= {
        item["reservation_id"] for item in everybodys["items"]
    }
    assert (await kim.send("GET", paths[2])).status_code == 404
    await ticketing.start_all()


async def test_the_board_catches_up_after_it_was_stopped(ticketing: Ticketing, kim: Person) -> None:
    await ticketing.system.stop(BOARD)
    ticket = await ticketing.ticket()
    reservation = await kim.reserve(ticket)

    await ticketing.system.start(BOARD)

    await kim.wait_for(f"/board/{ticket['ticket_id']}", status="RESERVED", price=reservation["price"])
    assert (await kim.send("GET", f"/board/{uuid4()}")).status_code == 404
