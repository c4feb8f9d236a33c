"""A view: fed by events in batches, read by queries.

    my_page = View("video_rental.my_page", store.tables)
    my_page.answers(store.queries)

A view handles the events of its tables' projections. A batch is folded to the newest state per key and written in one
transaction, sorted by key. When it fails it is halved, until the event that cannot be applied is found and becomes a
dead letter. There is no inbox: versions make repeats, reordering and replicas harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import Event
from contracts.outcomes import Outcome
from storage.database import is_transient
from storage.view_queries import ViewQueries
from storage.views import Projection, TimelineRow, ViewDatabase, ViewTables
from workers.runtime.cancellation import foreign_cancellation_as_error
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.envelope import Envelope, Unreadable, read_body
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.subscriber import DirectSubscriber
from workers.runtime.observability import tracing
from workers.runtime.observability.log_events import BATCH_FAILED
from workers.runtime.processing import failpoints
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.handlers import BaseWorker, Handler
from workers.runtime.processing.processor import RECHECK_SECONDS, MessageProcessor
from workers.runtime.processing.results import ProcessingResult
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.processing.worker_runtime import NOTHING_COUNTED, PING_SECONDS, STATUS_SECONDS, WorkerRuntime
from workers.runtime.settings import Settings

log = structlog.get_logger()

CONNECTION_ERRORS = (OSError, DBAPIError, TimeoutError)
EVENT_ERRORS = (DataError, IntegrityError, NotSupportedError)
"""Raised for an event that the database cannot keep; every other error is about the database itself."""
LONGEST_PAUSE = 5.0
LINGER_SECONDS, BUSY_LINGER_SECONDS = 0.02, 0.06
BUSY = 10
"""Events in one batch from which on the next may collect for longer, so that more events share its cost."""

Parameters = Callable[[AsyncConnection], Awaitable[dict[str, Any]]]


async def _nothing(connection: AsyncConnection) -> dict[str, Any]:
    return {}


class View(BaseWorker):
    """A reading context: the projections of its tables, and the queries that they answer."""

    def __init__(self, name: str, tables: ViewTables) -> None:
        super().__init__(name)
        self.tables = tables
        self.projections: dict[str, Projection] = {}
        for projection in tables.projections:
            for event in projection.events:
                self.projections[event.topic] = projection
                self.handlers[event.topic] = Handler(event, _never, (), read_only=True, about=projection.about)

    def answers(self, queries: ViewQueries, *, given: Parameters = _nothing) -> None:
        """Answer two standard queries; that for one thing waits for the version that its sender has seen.

        `given` reads what both need besides: the named arguments of `queries.newest` and `queries.find`.
        """

        async def newest(query: Any, connection: AsyncConnection) -> Any:
            return await queries.newest(connection, query, **await given(connection))

        async def find(query: Any, connection: AsyncConnection) -> Any:
            entry = await queries.find(connection, query, **await given(connection))
            if entry is None:
                raise RetryableNotFound
            if entry.version < query.min_version:
                raise StaleRead(entry)
            return entry

        self.handles(queries.lists)(newest)
        self.handles(queries.shows)(find)

    def runtime(self, settings: Settings) -> WorkerRuntime:
        return ViewRuntime(self, settings)


async def _never(*_: Any) -> None:
    raise NotImplementedError("a view applies events in batches")


@dataclass(slots=True)
class _Arrived:
    """An event that waits to be applied; `applied` is set for FastStream's path, which waits for it."""

    delivery: Delivery
    handler: Handler
    applied: asyncio.Future[None] | None = None


@dataclass(slots=True)
class _ReadEvent:
    delivery: Delivery
    event: Event
    span: Any = None


class ViewRuntime(WorkerRuntime):
    """A view, running."""

    worker: View
    connection_errors = CONNECTION_ERRORS

    def __init__(self, view: View, settings: Settings) -> None:
        self._arrived: asyncio.Queue[_Arrived] = asyncio.Queue()
        super().__init__(view, settings)
        self.store = ViewDatabase(view.tables, settings.database_of(view.name))
        self.availability = DatabaseAvailability(self.name, self.store.ping)
        self._applying: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._oldest: Delivery | None = None

    @property
    def prefetch(self) -> int:
        return int(self.settings.batch)

    def attach(self, subscriber: DirectSubscriber, handler: Handler) -> None:
        collect = None if handler.is_query else partial(self._collect, handler)
        subscriber.attach(partial(self.handle, handler), self.broker.producer, collect)

    async def open(self) -> None:
        self.store.open()
        self._applying = asyncio.create_task(self._apply_all())

    def start_tasks(self) -> None:
        self.every(0.25, self.reports.flush, needs_database=False)
        self.every(STATUS_SECONDS, self.report_status, needs_database=False)
        self.every(PING_SECONDS, self.availability.check)
        self.every(self.settings.check_queues_seconds, self.check_queues)

    async def drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_seconds):
                await self._arrived.join()
        if self._applying is not None:
            self._applying.cancel()
            await asyncio.wait({self._applying})

    async def close(self) -> None:
        await self.store.close()

    async def status(self) -> dict[str, Any]:
        return {**NOTHING_COUNTED, "waiting": self._arrived.qsize()}

    def view_lag(self) -> float:
        """The age of the oldest event that this view holds and does not show yet, in seconds."""
        return _age(self._oldest.raw) if self._oldest is not None else 0.0

    async def read(self, processor: MessageProcessor) -> Any:
        processor.changed = self._changed
        async with self.store.read() as connection:
            return await processor.handler.first(processor.message, connection)

    async def wait_for_change(self, processor: MessageProcessor) -> None:
        """Wait for a batch that was applied since the read, or a moment: another replica may apply it, too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECHECK_SECONDS):
                await (processor.changed or self._changed).wait()

    def _collect(self, handler: Handler, delivery: Delivery) -> bool:
        self._arrived.put_nowait(_Arrived(delivery, handler))
        return True

    async def process(self, handler: Handler, delivery: Delivery) -> tuple[Envelope, ProcessingResult] | None:
        """A query by itself; an event that FastStream carried here with the next batch."""
        if handler.is_query:
            return await super().process(handler, delivery)
        applied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrived.put_nowait(_Arrived(delivery, handler, applied))
        await applied
        return None

    async def _apply_all(self) -> None:
        """Apply what arrived, in that order; a short delay lets what belongs together share a transaction."""
        arrived: list[_Arrived] = []
        while True:
            linger = LINGER_SECONDS if len(arrived) < BUSY else BUSY_LINGER_SECONDS
            arrived = [await self._arrived.get()]
            self._oldest = arrived[0].delivery
            try:
                await asyncio.sleep(linger)
                while len(arrived) < self.settings.batch and not self._arrived.empty():
                    arrived.append(self._arrived.get_nowait())
                batch = [read for one in arrived if (read := await self._read_event(one)) is not None]
                if batch:
                    await self._apply(batch)
            except Exception:
                log.exception(BATCH_FAILED, context=self.name)
            finally:
                self._oldest = None
                await self._end(arrived)

    async def _end(self, arrived: list[_Arrived]) -> None:
        """End every delivery of a batch, whatever became of it, before a later batch is acknowledged."""
        for one in arrived:
            self._arrived.task_done()
            if one.applied is not None and not one.applied.done():
                one.applied.set_result(None)
        unended = (one.delivery for one in arrived if one.applied is None and not one.delivery.ended)
        await asyncio.gather(*(delivery.settle(self.broker.producer) for delivery in unended))

    async def _read_event(self, arrived: _Arrived) -> _ReadEvent | None:
        delivery, handler = arrived.delivery, arrived.handler
        try:
            envelope = envelopes.read(delivery.raw, handler.message.topic)
            event = read_body(handler.message, delivery.raw.body)
        except Unreadable as reason:
            await self._dead_letter(delivery, str(reason))
            return None
        assert isinstance(event, Event)
        if tracing.on is not None:
            traceparent = envelopes.traceparent_of(delivery.raw)
            return _ReadEvent(delivery, event, tracing.apply(tracing.on, envelope, self.name, traceparent))
        return _ReadEvent(delivery, event)

    async def _apply(self, batch: list[_ReadEvent]) -> None:
        """Apply, and acknowledge what was applied; wait while the database is unavailable."""
        pause = 0.02
        while True:
            try:
                with foreign_cancellation_as_error():
                    await apply(self.worker, self.store, [read.event for read in batch])
            except CONNECTION_ERRORS as error:
                if not is_transient(error):
                    if isinstance(error, EVENT_ERRORS):
                        await self._divide(batch, error)
                        return
                    self.availability.lost(error)
                    await self.availability.wait(self.settings.database_patience_seconds)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            except Exception as error:
                await self._divide(batch, error)
                return
            else:
                break
        self.on_applied(_age(batch[0].delivery.raw))
        for read in batch:
            read.delivery.acknowledge()
            if read.span is not None:
                tracing.end(read.span, Outcome.DONE)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if failpoints.hook:
            await failpoints.hook(self.name, "applied")
        await _acknowledge(batch)

    async def _divide(self, batch: list[_ReadEvent], error: Exception) -> None:
        """Find the event that cannot be applied; the others are applied."""
        if len(batch) > 1:
            half = len(batch) // 2
            await self._apply(batch[:half])
            await self._apply(batch[half:])
        else:
            await self._dead_letter(batch[0].delivery, f"could not be applied: {error!r}"[:1000])

    async def _dead_letter(self, delivery: Delivery, reason: str) -> None:
        """End it now: a batch is acknowledged with all deliveries before it."""
        delivery.dead_letter(reason)
        await delivery.settle(self.broker.producer)


def _age(raw: Any) -> float:
    """Seconds since a message was published, by its publisher's clock; 0 when it does not carry a time."""
    at = raw.headers.get("at_ms")
    return max(0.0, datetime.now(UTC).timestamp() - at / 1000) if isinstance(at, int) else 0.0


async def _acknowledge(batch: list[_ReadEvent]) -> None:
    """Acknowledge a batch and all before it: events have a channel of their own, and are applied in its order."""
    last: dict[int, Any] = {}
    for read in batch:
        with contextlib.suppress(*BROKER_ERRORS):  # the channel is gone: redelivery is harmless
            last[id(read.delivery.raw.channel)] = read.delivery.raw
    for raw in last.values():
        with contextlib.suppress(*BROKER_ERRORS):
            await raw.ack(multiple=True)
    for read in batch:
        read.delivery.mark_ended()


async def apply(view: View, store: ViewDatabase, events: Iterable[Any], *, only: int | None = None) -> None:
    """Write a batch in one transaction: into each generation that is written, or `only` into one that still is."""
    newest: dict[str, dict[Any, Any]] = {}
    lines: dict[tuple[Any, int, str], TimelineRow] = {}
    for event in events:
        projection = view.projections[event.topic]
        if not projection.keeps(event):
            continue
        key = getattr(event, projection.key)
        states = newest.setdefault(projection.table.name, {})
        if key not in states or states[key].version < event.version:
            states[key] = event
        line = projection.timeline_row(event)
        lines[line.subject, line.version, line.what] = line
    async with store.transaction() as connection:
        generations = [one for one in await store.lock_generations(connection) if only in (None, one)]
        if not generations:
            return
        for name in sorted(newest):  # tables and rows in one order: two replicas never wait for each other
            states = newest[name]
            projection = view.projections[next(iter(states.values())).topic]
            await store.upsert_states(
                connection, projection.table, generations, [states[key] for key in sorted(states)]
            )
        await store.upsert_states(connection, store.tables.timeline, generations, [lines[key] for key in sorted(lines)])
