"""Consume a queue in batches, over a connection of its own.

The connection is not restored after a failure, because a restored consumer of a stream would start at its first offset
again. The caller opens a new consumer at the position that it has stored.
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
from workers.runtime.messaging.subscriber import current_delivery


class ConsumerClosed(Exception):
    """The connection, the channel or the consumer is closed."""


class BatchConsumer:
    """Collects the deliveries of one consumer, and returns them in batches."""

    def __init__(self) -> None:
        self._messages: deque[AbstractIncomingMessage] = deque()
        self._needed = 1
        self._changed = asyncio.Event()
        self._is_closed = False

    def collect(self, delivery: Delivery) -> bool:
        """Add a delivery; its batch is acknowledged by `ack`, and the broker delivers it again when it never is."""
        self._messages.append(delivery.raw)
        if len(self._messages) >= self._needed:
            self._changed.set()
        return True

    async def handle(self, delivery: Delivery) -> None:
        """Add a delivery that came through FastStream's middlewares; it is acknowledged with its batch."""
        delivery.mark_ended()
        self.collect(delivery)

    async def receive(self, message: RabbitMessage) -> None:
        """The function that FastStream registers; with middlewares it calls this one."""
        delivery = current_delivery.get()
        if delivery is not None:
            await self.handle(delivery)

    def close(self, *_: Any) -> None:
        """Make `batch` raise ConsumerClosed; called when the connection, the channel or the consumer is closed."""
        self._is_closed = True
        self._changed.set()

    async def batch(
        self, limit: int, *, linger: float = 0, timeout: float | None = None
    ) -> list[AbstractIncomingMessage]:
        """Return up to `limit` messages, collected for `linger` seconds after the first one.

        Returns an empty list when none arrives within `timeout` seconds; raises ConsumerClosed.
        """
        await self._wait(1, timeout)
        if linger and self._messages:
            await self._wait(limit, linger)
        return [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]

    async def _wait(self, needed: int, seconds: float | None) -> None:
        self._needed = needed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self._messages) < needed and not self._is_closed:
                    self._changed.clear()
                    await self._changed.wait()
        if self._is_closed:
            raise ConsumerClosed("the consumer is closed")

    async def ack(self, last: AbstractIncomingMessage) -> None:
        """Acknowledge a message and all messages before it; raises ConsumerClosed."""
        try:
            await last.ack(multiple=True)
        except BROKER_ERRORS as error:
            raise ConsumerClosed(repr(error)) from error


@asynccontextmanager
async def consume_batches(
    url: str, name: str, queue: str, *, prefetch: int, arguments: dict[str, Any] | None = None
) -> AsyncIterator[BatchConsumer]:
    """Consume an existing queue or stream in batches; raises ConsumerClosed when it cannot be consumed."""
    consumer = BatchConsumer()
    broker = Broker(url, name, publishes=False, on_lost=consumer.close)
    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False, robust=False),
        channel=Channel(prefetch_count=prefetch, publisher_confirms=False),
        consume_args=arguments,
        no_reply=True,
    )
    subscriber(consumer.receive)
    subscriber.attach(consumer.handle, broker.producer, consumer.collect)
    subscriber.on_cancelled = consumer.close
    try:
        try:
            await broker.start()
        except (*BROKER_ERRORS, OSError) as error:
            raise ConsumerClosed(repr(error)) from error
        yield consumer
    finally:
        with contextlib.suppress(*BROKER_ERRORS):
            await broker.stop()
