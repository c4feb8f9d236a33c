"""The producer of a broker: pipelined confirms, and any number of requests in flight over one reply queue.

It owns a connection of its own, so that an alarm which blocks publishers never blocks consumers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractExchange
from faststream.rabbit.parser import AioPikaParser
from faststream.rabbit.publisher.producer import AioPikaFastProducer
from faststream.rabbit.response import RabbitPublishCommand

from workers.runtime.messaging import accelerator
from workers.runtime.messaging.accelerator.codec import Publishing
from workers.runtime.messaging.accelerator.frame_writer import (
    FrameWriter,
    acknowledge,
    is_returned,
    publish,
    publish_returnable,
    publish_unconfirmed,
)
from workers.runtime.messaging.connection import SafeRobustConnection, connect
from workers.runtime.messaging.envelope import dead_letter_copy
from workers.runtime.messaging.errors import BrokerUnavailable, Unroutable, as_broker_errors
from workers.runtime.messaging.exchanges import DEAD, REPLIES

CONFIRM_SECONDS, REQUEST_SECONDS = 5.0, 10.0
"""Limits where the caller gives none."""
PUBLISH_LINGER, ACK_LINGER = 0.01, 0.005
"""Seconds that frames which nobody waits for may wait to be written with others."""


class RequestLost(ConnectionError):
    """The connection was lost while a reply was awaited: what became of the request is unknown."""


class PipelinedProducer(AioPikaFastProducer):
    """Publishes and requests for one broker; `open` connects, `close` disconnects."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self.name = name
        self.reply_queue = f"{name}.{uuid4()}@replies"
        self.connection: SafeRobustConnection | None = None
        self._channels: dict[str, Any] = {}
        self._exchanges: dict[tuple[str, str], AbstractExchange] = {}
        self._publications, self._acknowledgements = FrameWriter(PUBLISH_LINGER), FrameWriter(ACK_LINGER)
        self._requests = FrameWriter()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self.serializer: Any = None
        self.codec: Any = None
        parser = AioPikaParser()
        self._parser, self._decoder = parser.parse_message, parser.decode_message

    def connect(self, serializer: Any = None, codec: Any = None) -> None:
        """Take FastStream's serializer and codec, for bodies that are not bytes."""
        self.serializer, self.codec = serializer, codec

    def disconnect(self) -> None:
        """Nothing: `close` ends the connection."""

    async def open(self) -> None:
        """Connect; raises an AMQP error, OSError or TimeoutError when the broker cannot be reached."""
        if self.connection is not None:
            return
        connection = await connect(self._url, f"{self.name}: publisher")
        try:
            for use, confirms in (("durable", True), ("plain", True), ("request", False), ("unconfirmed", False)):
                if use == "request" and not accelerator.is_enabled():
                    confirms = True
                self._channels[use] = await connection.channel(publisher_confirms=confirms)
            await self._consume_replies(connection)
        except BaseException:
            await connection.close()
            self._channels.clear()
            raise
        connection.close_callbacks.add(lambda *_: self._lost())
        self.connection = connection

    async def _consume_replies(self, connection: SafeRobustConnection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(self.reply_queue, exclusive=True, auto_delete=True)
        await queue.bind(REPLIES, routing_key=self.reply_queue)
        await queue.consume(_ReplyConsumer(self._replied).consume, no_ack=True)

    async def close(self) -> None:
        """Fail the requests under way and disconnect."""
        self._lost()
        connection, self.connection = self.connection, None
        self._channels.clear()
        self._exchanges.clear()
        if connection is not None:
            await connection.close()

    @property
    def is_usable(self) -> bool:
        """Connected, and not blocked by an alarm of the broker."""
        return self.connection is not None and self.connection.is_usable

    # -- publications

    async def publish(self, cmd: RabbitPublishCommand) -> Any:
        """Publish; waits for the confirm of a mandatory message.

        Raises Unroutable, or one of `errors.BROKER_ERRORS`.
        """
        message = await self._encode(cmd)
        if not cmd.publish_options["mandatory"]:
            return await self._publish_unconfirmed(cmd.exchange.name, cmd.destination, message)
        if not self.is_usable:
            raise BrokerUnavailable("the broker is unavailable")
        async with asyncio.timeout(cmd.timeout or CONFIRM_SECONDS):
            with as_broker_errors():
                result = await self._publish_confirmed(cmd, message)
        if is_returned(result):
            raise Unroutable(cmd.destination)
        return result

    async def _publish_confirmed(self, cmd: RabbitPublishCommand, message: Publishing | aio_pika.Message) -> Any:
        if isinstance(message, Publishing) and accelerator.is_enabled():
            exchange = await self._exchange("durable", cmd.exchange.name)
            return await (await publish(self._publications, exchange, cmd.destination, message))
        exchange = await self._exchange("plain", cmd.exchange.name)
        return await exchange.publish(_plain(message), cmd.destination, mandatory=True)

    async def _publish_unconfirmed(self, exchange_name: str, routing_key: str, message: Publishing | Any) -> None:
        if self.connection is None:
            raise BrokerUnavailable("the broker is unavailable")
        with as_broker_errors():
            exchange = await self._exchange("unconfirmed", exchange_name)
            if isinstance(message, Publishing) and accelerator.is_enabled():
                writer = self._requests if exchange_name == REPLIES else self._publications
                await publish_unconfirmed(writer, exchange, routing_key, message)
            else:
                await exchange.publish(_plain(message), routing_key, mandatory=False)

    async def dead_letter(self, raw: Any, queue: str, reason: str) -> None:
        """Publish the copy of a message to the dead-letter exchange, whatever its headers; raises as `publish`."""
        if not self.is_usable:
            raise BrokerUnavailable("the broker is unavailable")
        topic = queue.partition("@")[0]
        async with asyncio.timeout(CONFIRM_SECONDS):
            with as_broker_errors():
                exchange = await self._exchange("plain", DEAD)
                result = await exchange.publish(dead_letter_copy(raw, queue, reason), topic, mandatory=True)
        if is_returned(result):
            raise Unroutable(topic)

    def acknowledge_at_once(self, raw: Any) -> bool:
        """Acknowledge a delivery with the next write, by the accelerator; False without it."""
        if not accelerator.is_enabled():
            return False
        acknowledge(self._acknowledgements, raw)
        return True

    async def acknowledge(self, raw: Any) -> None:
        """Acknowledge a delivery, soon; when its channel is gone the broker delivers it again."""
        if not self.acknowledge_at_once(raw):
            await raw.ack()

    async def flush(self) -> None:
        """Wait until publications and acknowledgements are written to the sockets."""
        for writer in (self._publications, self._requests, self._acknowledgements):
            await writer.flush()

    # -- requests

    async def request(self, cmd: RabbitPublishCommand) -> Any:
        """Publish a request and wait for its reply.

        Raises Unroutable or BrokerUnavailable when it was certainly not begun, TimeoutError and RequestLost when
        nothing is known of it.
        """
        if not self.is_usable:
            raise BrokerUnavailable("the broker is unavailable")
        cmd.reply_to = f"{self.reply_queue}|{REPLIES}"
        message = await self._encode(cmd)
        key = cmd.correlation_id or str(uuid4())
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[key] = reply
        forget: Callable[[], None] | None = None
        try:
            async with asyncio.timeout(cmd.timeout or REQUEST_SECONDS):
                with as_broker_errors():
                    forget = await self._publish_request(cmd, message, reply)
                return await reply
        finally:
            del self._waiting[key]
            if forget is not None:
                forget()

    async def _publish_request(
        self, cmd: RabbitPublishCommand, message: Publishing | aio_pika.Message, reply: asyncio.Future[Any]
    ) -> Callable[[], None]:
        """Publish a request; the result stops waiting for its return."""
        if isinstance(message, Publishing) and accelerator.is_enabled():
            exchange = await self._exchange("request", cmd.exchange.name)
            return await publish_returnable(
                self._requests, exchange, cmd.destination, message, lambda: _return(reply, cmd.destination)
            )
        exchange = await self._exchange("plain", cmd.exchange.name)
        if is_returned(await exchange.publish(_plain(message), cmd.destination, mandatory=True)):
            raise Unroutable(cmd.destination)
        return lambda: None

    def _replied(self, raw: Any) -> None:
        reply = self._waiting.get(raw.correlation_id or "")
        if reply is not None and not reply.done():
            reply.set_result(raw)

    def _lost(self) -> None:
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(RequestLost("the connection was lost while a reply was awaited"))

    # -- messages and exchanges

    async def _exchange(self, use: str, name: str) -> AbstractExchange:
        if not name:
            raise ValueError("nothing is published to the default exchange")
        found = self._exchanges.get((use, name))
        if found is None:
            channel = self._channels.get(use)
            if channel is None:
                raise BrokerUnavailable("the broker is unavailable")
            found = self._exchanges[use, name] = await channel.get_exchange(name, ensure=False)
        return found

    async def _encode(self, cmd: RabbitPublishCommand) -> Publishing | aio_pika.Message:
        """The message in the form that is written fastest, if it has only what that form knows."""
        options: Any = cmd.message_options
        json = options.get("content_type") in (None, "application/json")
        if isinstance(cmd.body, bytes) and json and not any(options.get(name) for name in _SELDOM):
            return Publishing(
                cmd.body,
                options.get("message_type") or "",
                options.get("app_id") or "",
                persistent=bool(options.get("persist")),
                headers=cmd.headers or {},
                correlation_id=cmd.correlation_id or "",
                reply_to=cmd.reply_to or "",
                expiration=options.get("expiration"),
                message_id=options.get("message_id") or "",
            )
        return await AioPikaParser.encode_message(
            cmd.body,
            reply_to=cmd.reply_to or None,
            headers=cmd.headers,
            correlation_id=cmd.correlation_id,
            serializer=self.serializer,
            codec=self.codec,
            **options,
        )


_SELDOM = ("content_encoding", "priority", "user_id", "timestamp")


class _Replied(Protocol):
    def __call__(self, raw: Any) -> None: ...


class _ReplyConsumer:
    """The consumer of the reply queue, in the form that the accelerator dispatches."""

    def __init__(self, dispatch: _Replied) -> None:
        self.dispatch = dispatch

    async def consume(self, raw: Any) -> None:
        self.dispatch(raw)


def _return(reply: asyncio.Future[Any], topic: str) -> None:
    if not reply.done():
        reply.set_exception(Unroutable(topic))


def _plain(message: Publishing | aio_pika.Message) -> aio_pika.Message:
    if isinstance(message, aio_pika.Message):
        return message
    return aio_pika.Message(
        message.body,
        headers=dict(message.headers),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT if message.persistent else aio_pika.DeliveryMode.NOT_PERSISTENT,
        correlation_id=message.correlation_id or None,
        reply_to=message.reply_to or None,
        expiration=message.expiration,
        message_id=message.message_id or None,
        type=message.type,
        app_id=message.app_id,
    )
