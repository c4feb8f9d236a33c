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

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from workers.runtime.messaging.accelerator.dispatch import at_once
from workers.runtime.messaging.bus import BROKER_ERRORS


class Ended(Exception):
    """The connection, the channel or the consumer is gone."""


class Feed:
    """What was delivered and not yet taken."""

    def __init__(self) -> None:
        self._messages: deque[AbstractIncomingMessage] = deque()
        self._wanted = 1
        self._enough = asyncio.Event()
        self._ended = False

    def put(self, message: AbstractIncomingMessage) -> None:
        self._messages.append(message)
        if len(self._messages) >= self._wanted:
            self._enough.set()

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
    try:
        connection = await aio_pika.connect(url, timeout=10, client_properties={"connection_name": name})
    except (*BROKER_ERRORS, OSError) as error:
        raise Ended(repr(error)) from error
    try:
        await _consume(connection, feed, queue, prefetch, arguments)
        yield feed
    finally:
        with contextlib.suppress(*BROKER_ERRORS):
            await connection.close()


async def _consume(connection: Any, feed: Feed, queue: str, prefetch: int, arguments: dict[str, Any] | None) -> None:
    try:
        channel = await connection.channel(publisher_confirms=False)
        connection.close_callbacks.add(feed.end)
        channel.close_callbacks.add(feed.end)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(feed.end)
        await channel.set_qos(prefetch_count=prefetch)
        source = await channel.get_queue(queue, ensure=False)
        await source.consume(at_once(feed.put), arguments=arguments, timeout=10)
    except BROKER_ERRORS as error:
        raise Ended(repr(error)) from error
