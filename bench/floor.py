"""The floor under a paid booking: aio-pika and asyncpg alone. No validation, no idempotency, no recovery.

HTTP -> gateway -> queue -> rentals (insert) -> queue -> payments (insert) -> reply
     -> rentals (update, outbox row) -> event -> view (inbox row, row)
     -> reply -> gateway -> HTTP

A GET goes the same way for one row of `rentals` and is the floor under a query. `python -m bench.floor ROLE` runs
one of the four processes, which says `ready` when it works. Booking and event queues are quorum queues, events are
confirmed before the answer, messages acknowledged after the work.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import uvicorn
import uvloop
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pamqp.common import FieldTable

AMQP_URL, DATABASE_URL, PORT = "FLOOR_AMQP_URL", "FLOOR_DATABASE_URL", "FLOOR_PORT"
EVENTS = "floor.events"
BOOKINGS, LOOKS, PAYMENTS, VIEW = "floor.bookings", "floor.looks", "floor.payments", "floor.view"
REPLY_TO = "amq.rabbitmq.reply-to"
QUORUM: FieldTable = {"x-queue-type": "quorum"}
WISH = ("video", "member", "price")
ROLES = ("payments", "rentals", "view", "gateway")

TABLES = """
    create table rentals (id uuid primary key, video text, member text, price int, status text);
    create table payments (id uuid primary key, rental uuid unique, price int, status text);
    create table outbox (id bigint generated always as identity primary key, body jsonb);
    create table inbox (id uuid primary key);
    create table my_page (id uuid primary key, status text, body jsonb);"""

Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]


@dataclass
class Wire:
    """A process's connection: a channel for what is heard and answered, one for asking, one that confirms."""

    channel: AbstractChannel
    asking: AbstractChannel
    confirming: AbstractChannel

    @classmethod
    async def open(cls, url: str) -> Wire:
        connection = await aio_pika.connect_robust(url)
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=100)
        asking = await connection.channel(publisher_confirms=False)
        return cls(channel, asking, await connection.channel(publisher_confirms=True))

    async def hear(self, queue: str, handler: Handler, *, durable: bool = False, event: str = "") -> None:
        """Consume a queue of our own; a durable one is a quorum queue."""
        declared = await self.channel.declare_queue(queue, durable=durable, arguments=QUORUM if durable else None)
        if event:
            exchange = await self.channel.declare_exchange(EVENTS, "topic", durable=True)
            await declared.bind(exchange, event)
        await declared.consume(handler)

    async def answer(self, asked: AbstractIncomingMessage, body: bytes) -> None:
        message = aio_pika.Message(body, correlation_id=asked.correlation_id)
        await self.channel.default_exchange.publish(message, routing_key=asked.reply_to or "", mandatory=False)


class Caller:
    """Asks over direct reply-to, any number at a time."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    @classmethod
    async def open(cls, wire: Wire) -> Caller:
        caller = cls(wire.asking)
        replies = await wire.asking.get_queue(REPLY_TO, ensure=False)
        await replies.consume(caller._heard, no_ack=True)
        return caller

    async def _heard(self, reply: AbstractIncomingMessage) -> None:
        future = self._waiting.get(reply.correlation_id or "")
        if future is not None and not future.done():
            future.set_result(reply.body)

    async def ask(self, queue: str, body: bytes, *, persistent: bool = False) -> bytes:
        """The answer; raises TimeoutError after five seconds."""
        number = str(next(self._numbers))
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        message = aio_pika.Message(body, correlation_id=number, reply_to=REPLY_TO, delivery_mode=2 if persistent else 1)
        try:
            await self._channel.default_exchange.publish(message, routing_key=queue, mandatory=False)
            async with asyncio.timeout(5):
                return await future
        finally:
            del self._waiting[number]


async def payments(wire: Wire, pool: asyncpg.Pool) -> None:
    async def charge(message: AbstractIncomingMessage) -> None:
        asked = json.loads(message.body)
        async with pool.acquire() as connection:
            await connection.execute(
                "insert into payments values ($1, $2, $3, 'APPROVED')", uuid4(), UUID(asked["rental"]), asked["price"]
            )
        await wire.answer(message, b'{"approved": true}')
        await message.ack()

    await wire.hear(PAYMENTS, charge)


async def rentals(wire: Wire, pool: asyncpg.Pool) -> None:
    caller = await Caller.open(wire)
    events = await wire.confirming.declare_exchange(EVENTS, "topic", durable=True)

    async def book(message: AbstractIncomingMessage) -> None:
        wish = json.loads(message.body)
        id = uuid4()
        async with pool.acquire() as connection:
            await connection.execute(
                "insert into rentals values ($1, $2, $3, $4, 'PENDING')", id, *(wish[name] for name in WISH)
            )
        await caller.ask(PAYMENTS, json.dumps({"rental": str(id), "price": wish["price"]}).encode())
        booked = json.dumps({"id": str(id), **wish, "status": "BOOKED"})
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("update rentals set status = 'BOOKED' where id = $1", id)
            await connection.execute("insert into outbox (body) values ($1)", booked)
        event = aio_pika.Message(booked.encode(), message_id=str(id), delivery_mode=2)
        await events.publish(event, routing_key="rental.booked", mandatory=False)
        await wire.answer(message, booked.encode())
        await message.ack()

    async def look(message: AbstractIncomingMessage) -> None:
        async with pool.acquire() as connection:
            row = await connection.fetchrow("select * from rentals where id = $1", UUID(message.body.decode()))
        await wire.answer(message, json.dumps(dict(row or {}), default=str).encode())
        await message.ack()

    await wire.hear(BOOKINGS, book, durable=True)
    await wire.hear(LOOKS, look)


async def view(wire: Wire, pool: asyncpg.Pool) -> None:
    async def note(message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        id = UUID(event["id"])
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("insert into inbox values ($1) on conflict do nothing", id)
            await connection.execute(
                "insert into my_page values ($1, $2, $3) on conflict (id) do update set status = excluded.status",
                id,
                event["status"],
                message.body.decode(),
            )
        await message.ack()

    await wire.hear(VIEW, note, durable=True, event="rental.*")


async def gateway(wire: Wire) -> None:
    caller = await Caller.open(wire)

    async def door(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        try:
            if scope["method"] == "POST":
                status, answer = 201, await caller.ask(BOOKINGS, body, persistent=True)
            else:
                status, answer = 200, await caller.ask(LOOKS, scope["path"].rpartition("/")[2].encode())
        except TimeoutError:
            status, answer = 504, b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    config = uvicorn.Config(
        door, host="127.0.0.1", port=int(os.environ[PORT]), log_level="warning", access_log=False, lifespan="off"
    )
    await uvicorn.Server(config).serve()


async def main(role: str) -> None:
    wire = await Wire.open(os.environ[AMQP_URL])
    if role == "gateway":
        await gateway(wire)
        return
    pool = await asyncpg.create_pool(os.environ[DATABASE_URL], min_size=16, max_size=16)
    await {"payments": payments, "rentals": rentals, "view": view}[role](wire, pool)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
