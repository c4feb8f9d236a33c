"""Words for the stories of ticketing: people at the door, what they do, and what they look at."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx

from contracts.base import Caller, Message
from gateway_api import tokens
from gateway_api.app import build
from tests.conftest import MakeSettings
from tests.support.messages import as_message
from tests.support.system import System, eventually
from tests.support.view_databases import is_moved
from workers.runtime.messaging import envelope

Thing = dict[str, Any]

TICKETS, PRICING, RESERVATIONS, BOARD = (
    f"ticketing.{name}" for name in ("tickets", "pricing", "reservations", "board")
)
ALL = (TICKETS, PRICING, RESERVATIONS, BOARD)
KEY = "a-key-for-tests-that-has-at-least-32-bytes"
BASE = "/v1/ticketing"
QUICK = {"jwt_key": KEY, "gateway_rate": 0, "ticketing_hold_check_seconds": 600}
"""Holds are checked when a story says so, see `check_now`."""


@dataclass(frozen=True)
class Person:
    """Somebody at the door."""

    http: httpx.AsyncClient
    caller: Caller

    @property
    def name(self) -> str:
        return self.caller.member_id

    async def ask(self, method: str, path: str, body: Thing | None = None, *, key: str = "") -> httpx.Response:
        token = tokens.issue(self.name, self.caller.role, key=KEY, grade=self.caller.grade)
        headers = {"authorization": f"Bearer {token}"} | ({"idempotency-key": key} if key else {})
        return await self.http.request(method, BASE + path, json=body, headers=headers)

    async def get(self, path: str) -> Thing:
        """Look, and expect to see it."""
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        found: Thing = answer.json()
        return found

    async def post(self, path: str, body: Thing | None = None, *, expect: int = 201) -> Thing:
        answer = await self.ask("POST", path, body)
        assert answer.status_code == expect, answer.text
        made: Thing = answer.json()
        return made

    async def reserve(self, ticket: Thing, *, expect: int = 201) -> Thing:
        return await self.post("/reservations", {"ticket_id": ticket["ticket_id"]}, expect=expect)

    async def cancel(self, reservation: Thing, *, expect: int = 200) -> Thing:
        return await self.post(f"/reservations/{reservation['reservation_id']}/cancellation", {}, expect=expect)

    async def sees(self, path: str, within: float = 10.0, **expected: Any) -> Thing:
        """What is at a path, once it has these fields."""
        found: Thing = {}

        async def agreed() -> bool:
            answer = await self.ask("GET", path)
            found.clear()
            found.update(answer.json())
            return answer.status_code == 200 and _agrees(found, expected)

        try:
            await eventually(agreed, within)
        except AssertionError:
            raise AssertionError(f"{path} has {found}, not {expected}") from None
        return found


def _agrees(thing: Any, expected: Thing) -> bool:
    return thing is not None and all(
        _agrees(thing.get(name), value) if isinstance(value, dict) else thing.get(name) == value
        for name, value in expected.items()
    )


class Box:
    """A system with ticketing at work, and its door."""

    def __init__(self, system: System, http: httpx.AsyncClient) -> None:
        self.system = system
        self.http = http
        self.staff = Person(http, Caller(member_id="staff", role="staff"))

    def member(self, grade: Any = "STANDARD") -> Person:
        caller = Caller(member_id=f"member-{uuid4().hex[:8]}", role="customer", grade=grade)
        return Person(self.http, caller)

    async def ticket(self, *, seconds: float = 86_400, base_price: int = 10_000, priced: bool = True) -> Thing:
        """A ticket that starts now, with the price that reservations know of."""
        now = datetime.now(UTC)
        body = {
            "name": "Jeju ferry",
            "starts_at": now.isoformat(),
            "ends_at": (now + timedelta(seconds=seconds)).isoformat(),
            "base_price": base_price,
        }
        ticket = await self.staff.post("/tickets", body)
        if priced:
            await self.known(ticket, 1)
        return ticket

    async def known(self, ticket: Thing, version: int) -> None:
        """Wait until reservations has a version of a ticket's price."""
        query = "select 1 from ticketing_reservations.prices where ticket_id = $1 and version >= $2"

        async def known() -> bool:
            return bool(await self.system.rows(RESERVATIONS, query, UUID(ticket["ticket_id"]), version))

        await eventually(known)

    async def policy(self, value: int, *, kind: str = "percent", name: str = "sale", **more: Any) -> Thing:
        return await self.staff.post("/discount-policies", {"name": name, "kind": kind, "value": value, **more})

    async def end(self, *policies: Thing) -> None:
        for policy in policies:
            answer = await self.staff.ask("DELETE", f"/discount-policies/{policy['policy_id']}")
            assert answer.status_code == 204

    def told_of(self, context: str, key: str, id: object) -> list[str]:
        """What a context said of one thing, in the order of its versions."""
        news = {
            (body["version"], topic.rpartition(".")[2])
            for topic, body in self.system.events
            if topic.startswith(context) and body.get(key) == id
        }
        return [name for _, name in sorted(news)]


@asynccontextmanager
async def box_with(make_settings: MakeSettings, **settings: Any) -> AsyncIterator[Box]:
    """Ticketing at work; in the end nothing is under way, and nothing is out of joint."""
    chosen = await make_settings(**(QUICK | settings))
    system = await System(chosen, "ticketing").open()
    try:
        await system.start(*ALL)
        door = httpx.ASGITransport(build(system.rpc, chosen))
        async with httpx.AsyncClient(base_url="http://door", transport=door, timeout=30) as http:
            box = Box(system, http)
            await at_work(box)
            yield box
        await system.start(*(name for name in ALL if name not in system.contexts))
        await system.wait_until_idle()
        assert await discrepancies(system) == []
    finally:
        await system.close()


async def at_work(box: Box) -> None:
    """Start what is stopped, until a reservation goes through."""
    await box.system.start(*(name for name in ALL if name not in box.system.contexts))
    await eventually(lambda: _answers(box.staff, "/tickets", 200))
    await eventually(lambda: _answers(box.staff, "/discount-policies", 200))
    ticket = await box.ticket()

    async def reserved() -> bool:
        answer = await box.member().ask("POST", "/reservations", {"ticket_id": ticket["ticket_id"]})
        return answer.status_code in (201, 409)

    await eventually(reserved)


async def check_now(box: Box, reservation_id: object) -> None:
    """Turn the clock of one hold to where its holder is asked, and wait until that was done."""
    mine = "from ticketing_tickets.inbox where topic = 'ticketing.tickets.check_hold' and body like '%' || $1 || '%'"
    (row,) = await box.system.rows(TICKETS, f"select id, attempts {mine}", str(reservation_id))
    await box.system.rows(TICKETS, "update ticketing_tickets.inbox set due_at = now() where id = $1", row["id"])

    async def checked() -> bool:
        query = """select attempts, state = 'done' or due_at > now() + interval '5 minutes' as ended
            from ticketing_tickets.inbox where id = $1"""
        now = await box.system.one(TICKETS, query, row["id"])
        return bool(now["attempts"] > row["attempts"] and now["ended"])

    await eventually(checked)


async def away(box: Box, *names: str) -> None:
    """Stop contexts, until their doors are seen to be shut."""
    looks = {TICKETS: "/tickets", PRICING: "/prices", RESERVATIONS: "/reservations", BOARD: "/board"}
    await box.system.stop(*names)
    for name in names:

        async def shut(path: str = looks[name]) -> bool:
            return await _answers(box.staff, path, 503)

        await eventually(shut)


async def _answers(person: Person, path: str, status: int) -> bool:
    return (await person.ask("GET", path)).status_code == status


async def tell(system: System, *messages: Message, id: UUID | None = None) -> None:
    """Say messages by hand, in this order, as if their context had."""
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        for message in messages:
            exchange = await channel.get_exchange(message.exchange, ensure=False)
            message_id = id or uuid4()
            body = message.model_dump_json().encode()
            said = envelope.told(message_id, body, message.topic, message.owner(), message_id, None, "test")
            await exchange.publish(as_message(said), routing_key=message.topic)


async def said_again(system: System, rng: Any, *, times: int = 2) -> None:
    """Say everything that was ever said to the system again, in any order, each under its own id or a new one."""
    from contracts.base import CATALOGUE

    events = [CATALOGUE[topic].model_validate_json(json.dumps(body)) for topic, body in system.events] * times
    rng.shuffle(events)
    await tell(system, *events)


async def discrepancies(system: System, within: float = 5.0) -> list[str]:
    """Whatever stays out of joint in a quiet system: holds against reservations, prices, and the board against all."""
    deadline = time.monotonic() + within
    while True:
        lists = await asyncio.gather(*(_unfit(system, query) for query in UNFIT))
        wrong = [line for lines in lists for line in lines]
        if not wrong or time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(0.05)  # what has just been sent is seen in no outbox, and in no queue yet


async def _unfit(system: System, query: str) -> list[str]:
    return [] if is_moved(system, query) else [row["wrong"] for row in await system.rows(TICKETS, query)]


CURRENT = "generation = (select current from ticketing_board.generations)"
UNFIT = (
    """select 'ticket ' || t.ticket_id || ' is held for ' || reservation_id || ', which is '
         || coalesce(r.status, 'not known') as wrong
       from ticketing_tickets.tickets t left join ticketing_reservations.reservations r using (reservation_id)
       where t.status = 'RESERVED' and r.status is distinct from 'RESERVED'""",
    """select 'reservation ' || r.reservation_id || ' is ' || r.status || ', its ticket ' || t.status as wrong
       from ticketing_reservations.reservations r left join ticketing_tickets.tickets t using (ticket_id)
       where r.status in ('PENDING', 'CANCELLING')
         or (r.status = 'RESERVED' and t.reservation_id is distinct from r.reservation_id)""",
    """select 'hold of ' || reservation_id || ' is ' || h.status || ', its reservation ' || r.status as wrong
       from ticketing_tickets.holds h join ticketing_reservations.reservations r using (reservation_id)
       where (h.status = 'CONFIRMED') <> (r.status = 'RESERVED') or h.status = 'HELD'""",
    """select 'price of reservation ' || r.reservation_id || ' is ' || coalesce(f.status, 'not frozen')
         || ', the reservation ' || r.status as wrong
       from ticketing_reservations.reservations r left join ticketing_pricing.frozen_prices f using (reservation_id)
       where (r.status = 'RESERVED' and (f.status, f.price) is distinct from ('FROZEN', r.price))
         or (r.status = 'CANCELLED' and f.status is distinct from 'RESTORED')""",
    f"""select 'ticket ' || coalesce(w.ticket_id, b.ticket_id) || ' on the board' as wrong
        from ticketing_tickets.tickets w full join (select * from ticketing_board.tickets where {CURRENT}) b
          on b.ticket_id = w.ticket_id
        where (w.version, w.status, w.reservation_id, w.ends_at)
          is distinct from (b.version, b.status, b.reservation_id, b.ends_at)""",
    f"""select 'reservation ' || coalesce(w.reservation_id, b.reservation_id) || ' on the board' as wrong
        from ticketing_reservations.reservations w
        full join (select * from ticketing_board.reservations where {CURRENT}) b
          on b.reservation_id = w.reservation_id
        where (w.version, w.status, w.price) is distinct from (b.version, b.status, b.price)""",
    f"""select 'price of ' || w.ticket_id || ' as others know it' as wrong from ticketing_pricing.prices w
        left join (select * from ticketing_board.prices where {CURRENT}) b using (price_id)
        left join ticketing_reservations.prices r on r.ticket_id = w.ticket_id
        where (w.version, w.standard, w.vip) is distinct from (b.version, b.standard, b.vip)
          or (w.version, w.standard, w.vip) is distinct from (r.version, r.standard, r.vip)""",
)
