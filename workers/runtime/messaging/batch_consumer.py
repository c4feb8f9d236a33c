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

from workers.runtime.messaging.consumer import consume
from workers.runtime.messaging.errors import BROKER_ERRORS


class ConsumerClosed(Exception):
    """The connection, the channel or the consumer is closed."""


class BatchConsumer:
    """Collects the deliveries of one consumer, and returns them in batches."""

    def __init__(self) -> None:
        self._messages: deque[AbstractIncomingMessage] = deque()
        self._needed = 1
        self._changed = asyncio.Event()
        self._is_closed = False

    def collect(self, message: AbstractIncomingMessage) -> None:
        """Add a message; `ack` acknowledges its batch, and the broker delivers it again when that never happens."""
        self._messages.append(message)
        if len(self._messages) >= self._needed:
            self._changed.set()

    def close(self) -> None:
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
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(
                consume(url, name, queue, consumer.collect, consumer.close, prefetch=prefetch, arguments=arguments)
            )
        except (*BROKER_ERRORS, OSError) as error:
            raise ConsumerClosed(repr(error)) from error
        yield consumer
