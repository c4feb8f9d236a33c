"""Whether anything is under way: steps, outboxes, queues, the journal's reading.

A message that a worker has taken and not yet committed shows nowhere. So the system is called quiet when it has been
seen with nothing under way, and nothing new, for longer than a step takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from storage.inbox import Inbox
from workers.journal.batch_consumer import ConsumerClosed, consume_batches
from workers.registry import CONTEXTS, worker
from workers.runtime.messaging import topology
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus
from workers.runtime.projections.view import View
from workers.runtime.settings import Settings

STILL_SECONDS = 0.7
LOOK_SECONDS = 0.1
AT_ONCE = 1000
CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, *BROKER_ERRORS)

# What is to be done now. A timer of hours is not under way; what failed before, or has been taken up, is.
AT_WORK = """
    select (select count(*) from {s}.outbox) as outbox,
      (select max(received_at) from {s}.inbox) as newest,
      (select string_agg(distinct topic, ', ') from {s}.inbox
        where state = 'started' or (state = 'waiting' and attempts > 0)
          or (state = 'waiting' and due_at <= now() + interval '5 seconds')) as steps"""
READ = "select coalesce(max(last_offset), -1) from journal.reader"


async def wait_until_idle(settings: Settings, within: float, *, without: Collection[str] = ()) -> bool:
    """Wait until nothing is under way, at most `within` seconds; False when something still is."""
    return not await pending_work(settings, within, without=without)


async def pending_work(settings: Settings, within: float, *, without: Collection[str] = ()) -> list[str]:
    """Wait as `quiet` does: what is still under way then, in words."""
    deadline = time.monotonic() + within
    async with _Watch(settings, frozenset(without)) as watch:
        seen: _Look | None = None
        since = 0.0
        while True:
            look = await watch.look()
            now = time.monotonic()
            if seen is None or look.marks != seen.marks or look.under_way:
                seen, since = look, now
            if not look.under_way and now - since >= STILL_SECONDS:
                return []
            if now >= deadline:
                return look.under_way or ["the system has only just come to rest"]
            await asyncio.sleep(LOOK_SECONDS)


@dataclass
class _Look:
    """What was seen: sentences about what is under way, and marks that move when anything is done."""

    under_way: list[str] = field(default_factory=list)
    marks: list[Any] = field(default_factory=list)


class _Watch:
    """Looks at databases and queues again and again; what cannot be reached is under way."""

    def __init__(self, settings: Settings, without: frozenset[str]) -> None:
        self._settings = settings
        self._workers = [worker(name) for name in CONTEXTS if name not in without]
        self._databases: dict[str, asyncpg.Connection] = {}
        self._bus: Bus | None = None
        self._queues = [queue for each in self._workers for queue in each.queues()]
        self._stream: _Stream | None = None
        if "journal" not in without:
            self._queues.append(topology.DEAD_QUEUE)
            self._stream = _Stream(settings.amqp_url.get_secret_value())

    async def __aenter__(self) -> _Watch:
        if self._stream is not None:
            await self._stream.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await self._stream.stop()
        for connection in self._databases.values():
            connection.terminate()
        await self._drop_bus()

    async def look(self) -> _Look:
        seen = _Look()
        read = -1
        for each in self._workers:
            if isinstance(each, View):
                continue
            url = self._settings.database_of(each.name)
            try:
                connection = await self._connection(url)
                row = await connection.fetchrow(AT_WORK.format(s=Inbox(each.schema).schema))
                if each.name == "journal":
                    read = await connection.fetchval(READ)
            except CONNECTION_ERRORS as error:
                self._databases.pop(url, None)
                seen.under_way.append(f"the database of {each.name} cannot be read ({_first_line(error)})")
                continue
            seen.marks += [row["newest"], read]
            if row["outbox"]:
                seen.under_way.append(f"{each.name} has {row['outbox']} messages to say")
            if row["steps"]:
                seen.under_way.append(f"{each.name} is at work on {row['steps']}")
        await self._look_at_queues(seen)
        if self._stream is not None:
            seen.marks.append(self._stream.end)
            if not self._stream.is_followed:
                seen.under_way.append("the stream of events cannot be followed")
            elif self._stream.end > read:
                seen.under_way.append(f"the journal has {self._stream.end - read} events to read")
        return seen

    async def _look_at_queues(self, seen: _Look) -> None:
        try:
            bus = await self._connected_bus()
            for queue in self._queues:
                found = await bus.inspect_queue(queue)
                if found is None:
                    seen.under_way.append(f"queue {queue} is missing")
                elif found[0]:
                    seen.under_way.append(f"{found[0]} messages wait in {queue}")
        except CONNECTION_ERRORS as error:
            await self._drop_bus()
            seen.under_way.append(f"the broker cannot be asked ({_first_line(error)})")

    async def _connection(self, url: str) -> asyncpg.Connection:
        if url not in self._databases:
            self._databases[url] = await asyncpg.connect(
                url, timeout=3, command_timeout=5, server_settings={"application_name": "yeyak audit"}
            )
        return self._databases[url]

    async def _connected_bus(self) -> Bus:
        if self._bus is None:
            bus = Bus(self._settings.amqp_url.get_secret_value(), "audit")
            try:
                async with asyncio.timeout(5):
                    await bus.start()
            except BaseException:
                with contextlib.suppress(*CONNECTION_ERRORS):
                    await bus.stop()
                raise
            self._bus = bus
        return self._bus

    async def _drop_bus(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            with contextlib.suppress(*CONNECTION_ERRORS):
                async with asyncio.timeout(2):
                    await bus.stop()


class _Stream:
    """Where the stream of events ends: the broker's own count of its messages is seconds old."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._following: asyncio.Task[None] | None = None
        self.is_followed = False
        self.end = -1
        """The offset of the last event."""

    async def start(self) -> None:
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(ConsumerClosed):
                last = {"x-stream-offset": "last"}
                async with consume_batches(
                    self._url, "audit", topology.STREAM, prefetch=AT_ONCE, arguments=last
                ) as feed:
                    self.is_followed = True
                    while True:
                        messages = await feed.batch(AT_ONCE)
                        self.end = int(str(messages[-1].headers["x-stream-offset"]))
                        await feed.ack(messages[-1])
            self.is_followed = False
            await asyncio.sleep(LOOK_SECONDS)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
