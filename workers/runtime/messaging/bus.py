"""A process's publications: confirmed, as a request, or as a reply.

FastStream consumes; what is published goes through here, on a connection of its own, so that an alarm of the broker
never blocks the consumers. `broker.request` holds one lock for a whole round trip and is never used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aio_pika
import structlog
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage, AbstractRobustConnection
from aiormq.exceptions import ChannelNotFoundEntity

from workers.runtime.messaging.accelerator import dispatch, frame_reader
from workers.runtime.messaging.accelerator.codec import Publishing
from workers.runtime.messaging.accelerator.frame_writer import (
    FrameWriter,
    acknowledge,
    is_returned,
    publish,
    publish_returnable,
    publish_unconfirmed,
)
from workers.runtime.messaging.envelope import Envelope

log = structlog.get_logger()

frame_reader.install()
dispatch.install()

COMMANDS, QUERIES, EVENTS = "yeyak.commands", "yeyak.queries", "yeyak.events"
REPLIES, DEAD = "yeyak.replies", "yeyak.dead"
CONNECT_SECONDS = 10.0
"""After which a broker that took a connection and says nothing is tried anew; heartbeats begin only later."""
CONFIRM_SECONDS = 5.0
PUBLISH_LINGER, ACK_LINGER = 0.01, 0.005
"""Seconds that frames which nobody waits for may wait to be written with others."""

BROKER_ERRORS = (aio_pika.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError)
"""What a publication raises when the broker is away; the message may have been stored."""


class Unroutable(Exception):
    """No queue is bound to the routing key of this message."""


class Bus:
    """A process's connection to RabbitMQ for publications, requests and replies."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self.name = name
        self._connection: AbstractRobustConnection | None = None
        self._confirmed: dict[str, AbstractExchange] = {}
        self._returnable: dict[str, AbstractExchange] = {}
        self._unconfirmed: dict[str, AbstractExchange] = {}
        self._dead_letter_exchange: AbstractExchange | None = None
        self._publications, self._acknowledgements = FrameWriter(PUBLISH_LINGER), FrameWriter(ACK_LINGER)
        self._requests = FrameWriter()
        self._inspecting = asyncio.Lock()
        self._inspection: Any = None
        self.reply_queue = f"{name}.{uuid4()}@replies"
        self.on_reply: Callable[[AbstractIncomingMessage], None] = lambda _: None
        self.on_lost: Callable[[], None] = lambda: None
        """The connection was lost: no reply to the requests so far will come."""

    async def start(self) -> None:
        """Connect; raises an AMQP error or OSError when the broker cannot be reached."""
        connection = await aio_pika.connect_robust(
            self._url,
            timeout=CONNECT_SECONDS,
            reconnect_interval=0.5,
            client_properties={"connection_name": f"{self.name}: publisher"},
        )
        try:
            await self._open(connection)
        except BaseException:
            await connection.close()
            raise
        connection.close_callbacks.add(lambda *_: self.on_lost())
        self._connection = connection

    async def _open(self, connection: AbstractRobustConnection) -> None:
        confirmed = await connection.channel(publisher_confirms=True)
        returnable = await connection.channel(publisher_confirms=False)
        unconfirmed = await connection.channel(publisher_confirms=False)
        dead_letters = await connection.channel(publisher_confirms=True)
        for exchange in (COMMANDS, EVENTS, DEAD):
            self._confirmed[exchange] = await confirmed.get_exchange(exchange, ensure=False)
        for exchange in (COMMANDS, QUERIES):
            self._returnable[exchange] = await returnable.get_exchange(exchange, ensure=False)
        for exchange in (COMMANDS, REPLIES):
            self._unconfirmed[exchange] = await unconfirmed.get_exchange(exchange, ensure=False)
        self._dead_letter_exchange = await dead_letters.get_exchange(DEAD, ensure=False)
        await self._consume_replies(connection)

    async def _consume_replies(self, connection: AbstractRobustConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(self.reply_queue, exclusive=True, auto_delete=True)
        await queue.bind(REPLIES, routing_key=self.reply_queue)

        await queue.consume(dispatch.at_once(lambda reply: self.on_reply(reply)), no_ack=True)

    async def stop(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    @property
    def connected(self) -> bool:
        """Connected, and not blocked by an alarm of the broker."""
        connection = self._connection
        if connection is None or connection.is_closed or not connection.connected.is_set():
            return False
        transport: Any = connection.transport
        # aiormq has no public flag; a request would wait in its buffer and start after its caller was refused
        unblocked = getattr(transport.connection, "_Connection__connection_unblocked", None) if transport else None
        return unblocked is None or unblocked.is_set()

    async def publish(self, exchange: str, topic: str, message: Publishing) -> None:
        """Publish and wait for the confirm; raises Unroutable, or one of BROKER_ERRORS."""
        if not self.connected:
            raise aio_pika.exceptions.AMQPConnectionError("the broker is unavailable")
        async with asyncio.timeout(CONFIRM_SECONDS):
            verdict = await publish(self._publications, self._confirmed[exchange], topic, message)
            try:
                result = await verdict
            except asyncio.CancelledError:
                if verdict.cancelled():
                    raise
                raise aio_pika.exceptions.AMQPConnectionError("the channel was closed") from None
        if is_returned(result):
            raise Unroutable(topic)

    async def request(
        self, exchange: str, topic: str, message: Publishing, on_return: Callable[[], None]
    ) -> Callable[[], None]:
        """Publish; `on_return` is called when it is unroutable, until the returned function is called.

        Raises one of BROKER_ERRORS.
        """
        return await publish_returnable(self._requests, self._returnable[exchange], topic, message, on_return)

    async def publish_unconfirmed(self, topic: str, message: Publishing) -> None:
        """Publish a command whose reply nobody awaits, best effort."""
        await publish_unconfirmed(self._publications, self._unconfirmed[COMMANDS], topic, message)

    async def reply(self, envelope: Envelope, message: Publishing) -> None:
        """Reply to a request; a caller that is gone is no error."""
        queue = envelope.reply_to.partition("|")[0]
        await publish_unconfirmed(self._requests, self._unconfirmed[REPLIES], queue, message)

    async def dead_letter(self, topic: str, message: aio_pika.Message) -> None:
        """Publish the copy of a message to the dead-letter exchange, whatever its headers; raises as `publish`."""
        if not self.connected or self._dead_letter_exchange is None:
            raise aio_pika.exceptions.AMQPConnectionError("the broker is unavailable")
        async with asyncio.timeout(CONFIRM_SECONDS):
            result = await self._dead_letter_exchange.publish(message, routing_key=topic, mandatory=True)
        if is_returned(result):
            raise Unroutable(topic)

    def acknowledge(self, raw: AbstractIncomingMessage) -> None:
        """Acknowledge a delivery, soon; when its channel is gone the broker delivers it again."""
        acknowledge(self._acknowledgements, raw)

    async def flush(self) -> None:
        """Wait until publications and acknowledgements are written to the sockets."""
        for writer in (self._publications, self._requests, self._acknowledgements):
            await writer.flush()

    @asynccontextmanager
    async def _inspection_channel(self) -> AsyncIterator[Any]:
        """A plain channel, one call at a time: the broker closes it when a queue is missing, and it is opened anew."""
        if not self.connected:
            raise aio_pika.exceptions.AMQPConnectionError("the broker is unavailable")
        async with asyncio.timeout(3), self._inspecting:
            if self._inspection is None or self._inspection.is_closed:
                transport: Any = self._connection.transport if self._connection else None
                if transport is None:
                    raise aio_pika.exceptions.AMQPConnectionError("the broker became unavailable")
                self._inspection = await transport.connection.channel()
            yield self._inspection

    async def bind(self, queue: str, exchange: str, topic: str) -> None:
        """Bind a queue, which changes nothing when it is bound already."""
        async with self._inspection_channel() as channel:
            await channel.queue_bind(queue, exchange, routing_key=topic)

    async def inspect_queue(self, queue: str) -> tuple[int, int] | None:
        """How many messages wait in a queue and how many consumers it has; None when there is no such queue."""
        async with self._inspection_channel() as channel:
            try:
                found = await channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:
                return None
        return found.message_count or 0, found.consumer_count or 0
