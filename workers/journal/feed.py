"""A queue's deliveries in batches, over a connection of its own.

The connection is not restored by the client: a restored consumer of a stream would begin where the old one began.
Whoever reads starts again from what was kept.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aio_pika.abc import AbstractIncomingMessage
from faststream.rabbit import Channel, RabbitMessage, RabbitQueue

from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.errors import BROKER_ERRORS


class Ended(Exception):
    """The connection, the channel or the consumer is gone."""


class Feed:
    """What was delivered and not yet taken."""

    def __init__(self) -> None:
        self._messages: deque[AbstractIncomingMessage] = deque()
        self._wanted = 1
        self._enough = asyncio.Event()
        self._ended = False

    def collect(self, delivery: Delivery) -> bool:
        """Take a delivery; its batch is acknowledged by `ack`, and comes again when it never is."""
        self._messages.append(delivery.raw)
        if len(self._messages) >= self._wanted:
            self._enough.set()
        return True

    async def handle(self, delivery: Delivery) -> None:
        self.collect(delivery)

    async def receive(self, message: RabbitMessage) -> None:
        """Take a message on FastStream's own path."""
        self.collect(Delivery(message.raw_message, ""))

    def end(self, *_: Any) -> None:
        self._ended = True
        self._enough.set()

    async def batch(
        self, most: int, *, linger: float = 0, patience: float | None = None
    ) -> list[AbstractIncomingMessage]:
        """Up to `most` messages, collected for `linger` seconds from the first; none after `patience` seconds.

        Raises Ended.
        """
        await self._wait(1, patience)
        if linger and self._messages:
            await self._wait(most, linger)
        return [self._messages.popleft() for _ in range(min(most, len(self._messages)))]

    async def _wait(self, wanted: int, seconds: float | None) -> None:
        self._wanted = wanted
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self._messages) < wanted and not self._ended:
                    self._enough.clear()
                    await self._enough.wait()
        if self._ended:
            raise Ended("the consumer is gone")

    async def ack(self, last: AbstractIncomingMessage) -> None:
        """Acknowledge a message and all before it; raises Ended."""
        try:
            await last.ack(multiple=True)
        except BROKER_ERRORS as error:
            raise Ended(repr(error)) from error


@asynccontextmanager
async def listen(
    url: str, name: str, queue: str, *, prefetch: int, arguments: dict[str, Any] | None = None
) -> AsyncIterator[Feed]:
    """Consume a queue that exists; raises Ended when that cannot be."""
    feed = Feed()
    broker = Broker(url, name, publishes=False, on_lost=feed.end)
    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False, robust=False),
        channel=Channel(prefetch_count=prefetch, publisher_confirms=False),
        consume_args=arguments,
        no_reply=True,
    )
    subscriber(feed.receive)
    subscriber.attach(feed.handle, broker.producer, feed.collect)
    subscriber.on_cancelled = feed.end
    try:
        try:
            await broker.start()
        except (*BROKER_ERRORS, OSError) as error:
            raise Ended(repr(error)) from error
        yield feed
    finally:
        with contextlib.suppress(*BROKER_ERRORS):
            await broker.stop()
