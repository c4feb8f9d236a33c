"""Tells whether any work is pending: inbox steps, outbox rows, queued messages, events that the journal has not read.

A message that a worker has received and not yet committed is visible nowhere. So the system counts as idle only when it
has been observed without pending work and without progress for longer than a step takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from ops.settings import SystemSettings
from storage.inbox import Inbox
from workers.registry import CONTEXTS, worker
from workers.runtime.messaging import topology
from workers.runtime.messaging.batch_consumer import ConsumerClosed, consume_batches
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.projections.view import View

IDLE_SECONDS = 0.7
POLL_SECONDS = 0.1
BATCH_SIZE = 1000
CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, *BROKER_ERRORS)

# Work to do now: a timer that is due in hours is not pending; a step that was started, or failed before, is.
PENDING = """
    select (select count(*) from {s}.outbox) as outbox,
      (select max(received_at) from {s}.inbox) as newest,
      (select string_agg(distinct topic, ', ') from {s}.inbox
        where state = 'started' or (state = 'waiting' and attempts > 0)
          or (state = 'waiting' and due_at <= now() + interval '5 seconds')) as steps"""
READ_OFFSET = "select coalesce(max(last_offset), -1) from journal.reader"


async def wait_until_idle(settings: SystemSettings, within: float, *, without: Collection[str] = ()) -> bool:
    """Wait until no work is pending, at most `within` seconds; False when some still is."""
    return not await pending_work(settings, within, without=without)


async def pending_work(settings: SystemSettings, within: float, *, without: Collection[str] = ()) -> list[str]:
    """Wait like `wait_until_idle`; returns what is still pending then, a sentence each."""
    deadline = time.monotonic() + within
    async with _WorkProbe(settings, frozenset(without)) as probe:
        observed: _Observation | None = None
        since = 0.0
        while True:
            observe = await probe.observe()
            now = time.monotonic()
            if observed is None or observe.progress != observed.progress or observe.pending:
                observed, since = observe, now
            if not observe.pending and now - since >= IDLE_SECONDS:
                return []
            if now >= deadline:
                return observe.pending or ["the system has been idle for too short a time"]
            await asyncio.sleep(POLL_SECONDS)


@dataclass
class _Observation:
    """Sentences about pending work, and values that change whenever work is done."""

    pending: list[str] = field(default_factory=list)
    progress: list[Any] = field(default_factory=list)


class _WorkProbe:
    """Observes databases and queues; what cannot be reached counts as pending."""

    def __init__(self, settings: SystemSettings, without: frozenset[str]) -> None:
        self._settings = settings
        self._workers = [worker(name) for name in CONTEXTS if name not in without]
        self._databases: dict[str, asyncpg.Connection] = {}
        self._broker: Broker | None = None
        self._queues = [queue for each in self._workers for queue in each.queues()]
        self._stream: _EventStream | None = None
        if "journal" not in without:
            self._queues.append(topology.DEAD_QUEUE)
            self._stream = _EventStream(settings.amqp_url.get_secret_value())

    async def __aenter__(self) -> _WorkProbe:
        if self._stream is not None:
            await self._stream.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await self._stream.stop()
        for connection in self._databases.values():
            connection.terminate()
        await self._close_broker()

    async def observe(self) -> _Observation:
        observed = _Observation()
        read = -1
        for each in self._workers:
            if isinstance(each, View):
                continue
            url = self._settings.database_of(each.name)
            try:
                connection = await self._connection(url)
                row = await connection.fetchrow(PENDING.format(s=Inbox(each.schema).schema))
                if each.name == "journal":
                    read = await connection.fetchval(READ_OFFSET)
            except CONNECTION_ERRORS as error:
                self._databases.pop(url, None)
                observed.pending.append(f"the database of {each.name} cannot be read ({_first_line(error)})")
                continue
            observed.progress += [row["newest"], read]
            if row["outbox"]:
                observed.pending.append(f"{each.name} has {row['outbox']} messages to publish")
            if row["steps"]:
                observed.pending.append(f"{each.name} is processing {row['steps']}")
        await self._observe_queues(observed)
        if self._stream is not None:
            observed.progress.append(self._stream.end)
            if not self._stream.is_connected:
                observed.pending.append("the stream of events cannot be read")
            elif self._stream.end > read:
                observed.pending.append(f"the journal has {self._stream.end - read} events to read")
        return observed

    async def _observe_queues(self, observed: _Observation) -> None:
        try:
            broker = await self._connected_broker()
            for queue in self._queues:
                found = await broker.inspect_queue(queue)
                if found is None:
                    observed.pending.append(f"queue {queue} is missing")
                elif found[0]:
                    observed.pending.append(f"{found[0]} messages wait in {queue}")
        except CONNECTION_ERRORS as error:
            await self._close_broker()
            observed.pending.append(f"the broker cannot be reached ({_first_line(error)})")

    async def _connection(self, url: str) -> asyncpg.Connection:
        if url not in self._databases:
            self._databases[url] = await asyncpg.connect(
                url, timeout=3, command_timeout=5, server_settings={"application_name": "yeyak audit"}
            )
        return self._databases[url]

    async def _connected_broker(self) -> Broker:
        if self._broker is None:
            broker = Broker(self._settings.amqp_url.get_secret_value(), "audit")
            try:
                async with asyncio.timeout(5):
                    await broker.connect()
            except BaseException:
                with contextlib.suppress(*CONNECTION_ERRORS):
                    await broker.stop()
                raise
            self._broker = broker
        return self._broker

    async def _close_broker(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            with contextlib.suppress(*CONNECTION_ERRORS):
                async with asyncio.timeout(2):
                    await broker.stop()


class _EventStream:
    """Reads the last offset of the event stream; the count in the management API is seconds old."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._task: asyncio.Task[None] | None = None
        self.is_connected = False
        self.end = -1
        """The offset of the last event."""

    async def start(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _read(self) -> None:
        while True:
            with contextlib.suppress(ConsumerClosed):
                last = {"x-stream-offset": "last"}
                async with consume_batches(
                    self._url, "audit", topology.STREAM, prefetch=BATCH_SIZE, arguments=last
                ) as feed:
                    self.is_connected = True
                    while True:
                        messages = await feed.batch(BATCH_SIZE)
                        self.end = int(str(messages[-1].headers["x-stream-offset"]))
                        await feed.ack(messages[-1])
            self.is_connected = False
            await asyncio.sleep(POLL_SECONDS)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
