"""The floor under a paid booking: aio-pika and asyncpg alone, without validation, idempotency or recovery.

HTTP -> gateway -> queue -> rentals (insert) -> queue -> payments (insert) -> reply
     -> rentals (update, outbox row) -> event -> view (inbox row, row)
     -> reply -> gateway -> HTTP

A GET takes the same way for one row of `rentals` and is the floor under a query. `python -m bench.floor ROLE` runs one
of the four processes, which prints `ready` when it is. The queues of bookings and events are quorum queues, events are
confirmed before the reply, messages are acknowledged after the work.
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
BOOKINGS, READS, PAYMENTS, VIEW = "floor.bookings", "floor.reads", "floor.payments", "floor.view"
REPLY_TO = "amq.rabbitmq.reply-to"
QUORUM: FieldTable = {"x-queue-type": "quorum"}
BOOKING_FIELDS = ("video", "member", "price")
ROLES = ("payments", "rentals", "view", "gateway")

TABLES = """
    create table rentals (id uuid primary key, video text, member text, price int, status text);
    create table payments (id uuid primary key, rental uuid unique, price int, status text);
    create table outbox (id bigint generated always as identity primary key, body jsonb);
    create table inbox (id uuid primary key);
    create table my_page (id uuid primary key, status text, body jsonb);"""

Handler = Callable[[AbstractIncomingMessage], Awaitable[None]]


@dataclass
class FloorConnection:
    """A process's broker connection: channels for consuming and replying, for requests, and with confirms."""

    channel: AbstractChannel
    requesting: AbstractChannel
    confirming: AbstractChannel

    @classmethod
    async def open(cls, url: str) -> FloorConnection:
        connection = await aio_pika.connect_robust(url)
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=100)
        requesting = await connection.channel(publisher_confirms=False)
        return cls(channel, requesting, await connection.channel(publisher_confirms=True))

    async def consume(self, queue: str, handler: Handler, *, durable: bool = False, event: str = "") -> None:
        """Declare a queue and consume it; a durable one is a quorum queue."""
        declared = await self.channel.declare_queue(queue, durable=durable, arguments=QUORUM if durable else None)
        if event:
            exchange = await self.channel.declare_exchange(EVENTS, "topic", durable=True)
            await declared.bind(exchange, event)
        await declared.consume(handler)

    async def reply(self, request: AbstractIncomingMessage, body: bytes) -> None:
        message = aio_pika.Message(body, correlation_id=request.correlation_id)
        await self.channel.default_exchange.publish(message, routing_key=request.reply_to or "", mandatory=False)


class ReplyToClient:
    """Sends requests over direct reply-to, any number at a time."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    @classmethod
    async def open(cls, broker: FloorConnection) -> ReplyToClient:
        client = cls(broker.requesting)
        replies = await broker.requesting.get_queue(REPLY_TO, ensure=False)
        await replies.consume(client._on_reply, no_ack=True)
        return client

    async def _on_reply(self, reply: AbstractIncomingMessage) -> None:
        future = self._waiting.get(reply.correlation_id or "")
        if future is not None and not future.done():
            future.set_result(reply.body)

    async def request(self, queue: str, body: bytes, *, persistent: bool = False) -> bytes:
        """Send a request and return the reply; raises TimeoutError after five seconds."""
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


async def payments(broker: FloorConnection, pool: asyncpg.Pool) -> None:
    async def charge(message: AbstractIncomingMessage) -> None:
        request = json.loads(message.body)
        async with pool.acquire() as connection:
            await connection.execute(
                "insert into payments values ($1, $2, $3, 'APPROVED')",
                uuid4(),
                UUID(request["rental"]),
                request["price"],
            )
        await broker.reply(message, b'{"approved": true}')
        await message.ack()

    await broker.consume(PAYMENTS, charge)


async def rentals(broker: FloorConnection, pool: asyncpg.Pool) -> None:
    client = await ReplyToClient.open(broker)
    events = await broker.confirming.declare_exchange(EVENTS, "topic", durable=True)

    async def book(message: AbstractIncomingMessage) -> None:
        booking = json.loads(message.body)
        id = uuid4()
        async with pool.acquire() as connection:
            await connection.execute(
                "insert into rentals values ($1, $2, $3, $4, 'PENDING')",
                id,
                *(booking[name] for name in BOOKING_FIELDS),
            )
        await client.request(PAYMENTS, json.dumps({"rental": str(id), "price": booking["price"]}).encode())
        booked = json.dumps({"id": str(id), **booking, "status": "BOOKED"})
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("update rentals set status = 'BOOKED' where id = $1", id)
            await connection.execute("insert into outbox (body) values ($1)", booked)
        event = aio_pika.Message(booked.encode(), message_id=str(id), delivery_mode=2)
        await events.publish(event, routing_key="rental.booked", mandatory=False)
        await broker.reply(message, booked.encode())
        await message.ack()

    async def read(message: AbstractIncomingMessage) -> None:
        async with pool.acquire() as connection:
            row = await connection.fetchrow("select * from rentals where id = $1", UUID(message.body.decode()))
        await broker.reply(message, json.dumps(dict(row or {}), default=str).encode())
        await message.ack()

    await broker.consume(BOOKINGS, book, durable=True)
    await broker.consume(READS, read)


async def view(broker: FloorConnection, pool: asyncpg.Pool) -> None:
    async def show(message: AbstractIncomingMessage) -> None:
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

    await broker.consume(VIEW, show, durable=True, event="rental.*")


async def gateway(broker: FloorConnection) -> None:
    client = await ReplyToClient.open(broker)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        try:
            if scope["method"] == "POST":
                status, answer = 201, await client.request(BOOKINGS, body, persistent=True)
            else:
                status, answer = 200, await client.request(READS, scope["path"].rpartition("/")[2].encode())
        except TimeoutError:
            status, answer = 504, b"{}"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    config = uvicorn.Config(
        app, host="127.0.0.1", port=int(os.environ[PORT]), log_level="warning", access_log=False, lifespan="off"
    )
    await uvicorn.Server(config).serve()


async def main(role: str) -> None:
    broker = await FloorConnection.open(os.environ[AMQP_URL])
    if role == "gateway":
        await gateway(broker)
        return
    pool = await asyncpg.create_pool(os.environ[DATABASE_URL], min_size=16, max_size=16)
    await {"payments": payments, "rentals": rentals, "view": view}[role](broker, pool)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
