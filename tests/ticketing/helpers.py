"""Ticketing in tests: people who use it over HTTP, and what must hold in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.support.gateway import GATEWAY, http_client, send
from tests.support.running_system import running_system
from tests.support.system import Json, System, eventually, wait_for_fields
from tests.support.view_databases import is_moved

TICKETS, PRICING, RESERVATIONS, BOARD = CONTEXTS = tuple(
    f"ticketing.{name}" for name in ("tickets", "pricing", "reservations", "board")
)
SETTINGS = {"ticketing_hold_check_seconds": 600} | GATEWAY
"""Holds are not checked by time, but when a test calls `check_hold`."""


@dataclass(frozen=True)
class Person:
    """A caller of the gateway."""

    http: httpx.AsyncClient
    caller: Caller

    @property
    def name(self) -> str:
        return self.caller.member_id

    async def send(self, method: str, path: str, body: Json | None = None, *, key: str = "") -> httpx.Response:
        return await send(self.http, self.caller, method, path, body, key=key)

    async def get(self, path: str) -> Json:
        """Read what must be there."""
        return await self._answer("GET", path, None, 200)

    async def post(self, path: str, body: Json | None = None, *, expect: int = 201) -> Json:
        """Post a body; the status must be the one expected."""
        return await self._answer("POST", path, body, expect)

    async def _answer(self, method: str, path: str, body: Json | None, expect: int) -> Json:
        response = await self.send(method, path, body)
        assert response.status_code == expect, response.text
        answer: Json = response.json()
        return answer

    async def reserve(self, ticket: Json, *, expect: int = 201) -> Json:
        return await self.post("/reservations", {"ticket_id": ticket["ticket_id"]}, expect=expect)

    async def cancel(self, reservation: Json, *, expect: int = 200) -> Json:
        return await self.post(f"/reservations/{reservation['reservation_id']}/cancellation", {}, expect=expect)

    async def wait_for(self, path: str, **expected: Any) -> Json:
        """What is at a path, once it has these fields."""

        async def read() -> Json | None:
            response = await self.send("GET", path)
            return response.json() if response.status_code == 200 else None

        return await wait_for_fields(read, expected)


class Ticketing:
    """A system with ticketing, and clients of its gateway."""

    def __init__(self, system: System, http: httpx.AsyncClient) -> None:
        self.system = system
        self.http = http
        self.staff = Person(http, Caller(member_id="staff", role="staff"))

    def member(self, grade: Any = "STANDARD") -> Person:
        caller = Caller(member_id=f"member-{uuid4().hex[:8]}", role="customer", grade=grade)
        return Person(self.http, caller)

    async def ticket(self, *, seconds: float = 86_400, base_price: int = 10_000, priced: bool = True) -> Json:
        """Register a ticket that starts now, and wait until reservations knows its price."""
        now = datetime.now(UTC)
        body = {
            "name": "Jeju ferry",
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(seconds=seconds)).isoformat(),
            "base_price": base_price,
        }
        ticket = await self.staff.post("/tickets", body)
        if priced:
            await self.wait_for_known_price(ticket, 1)
        return ticket

    async def wait_for_known_price(self, ticket: Json, version: int) -> None:
        """Wait until reservations knows this version of a ticket's price."""
        query = "select 1 from ticketing_reservations.prices where ticket_id = $1 and version >= $2"
        await self.system.wait_for_rows(RESERVATIONS, query, UUID(ticket["ticket_id"]), version)

    async def policy(self, value: int, *, kind: str = "percent", name: str = "sale", **more: Any) -> Json:
        return await self.staff.post("/discount-policies", {"name": name, "kind": kind, "value": value, **more})

    async def end(self, *policies: Json) -> None:
        for policy in policies:
            response = await self.staff.send("DELETE", f"/discount-policies/{policy['policy_id']}")
            assert response.status_code == 204

    async def ticket_events(self, ticket_id: object) -> list[str]:
        """The names of tickets' events about one ticket, in the order of its versions."""
        return await self.system.event_names(TICKETS, ticket_id=ticket_id)

    async def start_all(self) -> None:
        """Start the contexts that are stopped, and wait until a reservation can be made."""
        await self.system.start_stopped(*CONTEXTS)
        for path in ("/tickets", "/discount-policies"):
            await self.staff.wait_for(path)
        ticket = await self.ticket()

        async def is_answered() -> bool:
            response = await self.member().send("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})
            return response.status_code in (201, 409)

        await eventually(is_answered)

    async def check_hold(self, reservation_id: object) -> None:
        """Make the check of a hold due now, and wait until it was done."""
        waiting = "select id, attempts from ticketing_tickets.inbox where topic = 'ticketing.tickets.check_hold'"
        row = await self.system.one(TICKETS, f"{waiting} and body like '%' || $1 || '%'", str(reservation_id))
        await self.system.rows(TICKETS, "update ticketing_tickets.inbox set due_at = now() where id = $1", row["id"])
        checked = """select 1 from ticketing_tickets.inbox where id = $1 and attempts > $2
            and (state = 'done' or due_at > now() + interval '5 minutes')"""
        await self.system.wait_for_rows(TICKETS, checked, row["id"], row["attempts"])


@asynccontextmanager
async def ticketing_with(make_settings: MakeSettings, **settings: Any) -> AsyncIterator[Ticketing]:
    """Ticketing and its gateway; at the end there must be no discrepancies."""
    made = make_settings(**(SETTINGS | settings))
    async with (
        running_system(made, "ticketing", CONTEXTS, discrepancies=discrepancies) as system,
        http_client(system, "/v1/ticketing") as http,
    ):
        ticketing = Ticketing(system, http)
        await ticketing.start_all()
        yield ticketing


async def discrepancies(system: System, within: float = 5.0) -> list[str]:
    """What contradicts itself in an idle system: holds against reservations, prices, and the board against all."""
    deadline = time.monotonic() + within
    while True:
        lists = await asyncio.gather(*(_lines(system, query) for query in DISCREPANCIES))
        lines = [line for lines in lists for line in lines]
        if not lines or time.monotonic() > deadline:
            return lines
        await asyncio.sleep(0.05)  # a message that has just been sent is in no outbox, and in no queue yet


async def _lines(system: System, query: str) -> list[str]:
    return [] if is_moved(system, query) else [row["line"] for row in await system.rows(TICKETS, query)]


CURRENT = "generation = (select current from ticketing_board.generations)"
DISCREPANCIES = (
    """select 'ticket ' || t.ticket_id || ' is held for ' || reservation_id || ', which is '
         || coalesce(r.status, 'not known') as line
       from ticketing_tickets.tickets t left join ticketing_reservations.reservations r using (reservation_id)
       where t.status = 'RESERVED' and r.status is distinct from 'RESERVED'""",
    """select 'reservation ' || r.reservation_id || ' is ' || r.status || ', its ticket ' || t.status as line
       from ticketing_reservations.reservations r left join ticketing_tickets.tickets t using (ticket_id)
       where r.status in ('PENDING', 'CANCELLING')
         or (r.status = 'RESERVED' and t.reservation_id is distinct from r.reservation_id)""",
    """select 'hold of ' || reservation_id || ' is ' || h.status || ', its reservation ' || r.status as line
       from ticketing_tickets.holds h join ticketing_reservations.reservations r using (reservation_id)
       where (h.status = 'CONFIRMED') <> (r.status = 'RESERVED') or h.status = 'HELD'""",
    """select 'price of reservation ' || r.reservation_id || ' is ' || coalesce(f.status, 'not frozen')
         || ', the reservation ' || r.status as line
       from ticketing_reservations.reservations r left join ticketing_pricing.frozen_prices f using (reservation_id)
       where (r.status = 'RESERVED' and (f.status, f.price) is distinct from ('FROZEN', r.price))
         or (r.status = 'CANCELLED' and f.status is distinct from 'RESTORED')""",
    f"""select 'ticket ' || coalesce(w.ticket_id, b.ticket_id) || ' on the board' as line
        from ticketing_tickets.tickets w full join (select * from ticketing_board.tickets where {CURRENT}) b
          on b.ticket_id = w.ticket_id
        where (w.version, w.status, w.reservation_id, w.ends_at)
          is distinct from (b.version, b.status, b.reservation_id, b.ends_at)""",
    f"""select 'reservation ' || coalesce(w.reservation_id, b.reservation_id) || ' on the board' as line
        from ticketing_reservations.reservations w
        full join (select * from ticketing_board.reservations where {CURRENT}) b
          on b.reservation_id = w.reservation_id
        where (w.version, w.status, w.price) is distinct from (b.version, b.status, b.price)""",
    f"""select 'price of ' || w.ticket_id || ' as others know it' as line from ticketing_pricing.prices w
        left join (select * from ticketing_board.prices where {CURRENT}) b using (price_id)
        left join ticketing_reservations.prices r on r.ticket_id = w.ticket_id
        where (w.version, w.standard, w.vip) is distinct from (b.version, b.standard, b.vip)
          or (w.version, w.standard, w.vip) is distinct from (r.version, r.standard, r.vip)""",
)
