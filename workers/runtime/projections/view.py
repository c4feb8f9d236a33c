"""A view: fed by events in batches, read by queries.

    my_page = View("video_rental.my_page", tables, [Projection(rentals, "rental_id", RENTAL_EVENTS), ...])

A batch is folded to the newest state per key and written in one transaction, sorted by key; when it fails it is
halved, until the one event that cannot be applied stands alone and becomes a dead letter. There is no inbox: versions
make repeats, reordering and replicas harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from aio_pika.abc import AbstractIncomingMessage
from sqlalchemy import Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError

from contracts.base import Event
from storage.database import is_transient
from storage.views import TimelineRow, ViewDatabase, ViewTables
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.bus import BROKER_ERRORS
from workers.runtime.messaging.envelope import Unreadable, read_body
from workers.runtime.observability import tracing
from workers.runtime.processing import failpoints
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.processor import LOOK_AGAIN_SECONDS, MessageProcessor
from workers.runtime.processing.worker_runtime import STATUS_SECONDS, WorkerRuntime
from workers.runtime.settings import Settings
from workers.runtime.worker import Handler, Worker

log = structlog.get_logger()

CONNECTION_ERRORS = (OSError, DBAPIError, TimeoutError)
CULPRITS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""What the database says of an event that it cannot keep; anything else it says is about itself."""
LONGEST_PAUSE = 5.0
LINGER_SECONDS, BUSY_LINGER_SECONDS = 0.02, 0.06
BUSY = 10
"""Events in one batch, from which on the next may gather for longer: what a batch costs is shared by more."""


@dataclass(frozen=True)
class Projection:
    """What one kind of source tells, and the table that keeps its newest state."""

    table: Table
    key: str
    events: tuple[type[Event], ...]
    about: str | None = None
    """Keep only what is about this context, or about none."""

    def keeps(self, event: Any) -> bool:
        return self.about is None or getattr(event, event.about) in ("", self.about)

    def happened(self, event: Any) -> TimelineRow:
        """The event's line in the timeline."""
        return TimelineRow.model_construct(
            subject=getattr(event, self.key),
            version=event.version,
            what=type(event).__name__,
            at=event.modified_at,
            status=str(getattr(event, "status", "")),
            reason=getattr(event, "reason", None),
        )


class View(Worker):
    """A reading context: copies of what others tell, and the queries that they answer."""

    def __init__(self, name: str, tables: ViewTables, copies: list[Projection]) -> None:
        super().__init__(name, resolves_dead_letters=False)
        self.tables = tables
        self.copies = {event.topic: copy for copy in copies for event in copy.events}
        for copy in copies:
            for event in copy.events:
                self.handlers[event.topic] = Handler(event, _never, None, read_only=True, about=copy.about)

    def runtime(self, settings: Settings) -> WorkerRuntime:
        return ViewRuntime(self, settings)


async def _never(*_: Any) -> None:
    raise NotImplementedError("a view applies events in batches")


@dataclass(slots=True)
class _Waiting:
    raw: AbstractIncomingMessage
    event: Event
    span: Any = None


class ViewRuntime(WorkerRuntime):
    """A view, running."""

    worker: View

    def __init__(self, view: View, settings: Settings) -> None:
        super().__init__(view, settings)
        self.store = ViewDatabase(view.tables, settings.database_of(view.name))
        self.availability = DatabaseAvailability(self.name, self.store)
        self._arrived: asyncio.Queue[tuple[AbstractIncomingMessage, Handler]] = asyncio.Queue()
        self._applying: asyncio.Task[None] | None = None
        self._applied = asyncio.Event()
        self._oldest: AbstractIncomingMessage | None = None
        self.on_applied: Callable[[float], None] = lambda lag: None
        """Called for each batch with how old its oldest event was when the view showed it, in seconds."""
        self.prefetch = settings.batch

    async def open(self) -> None:
        self.store.open()
        self._applying = asyncio.create_task(self._apply_all())

    def loops(self) -> None:
        self.every(0.25, self.reports.flush)
        self.every(STATUS_SECONDS, self.report_status)
        self.every(self.settings.check_queues_seconds, self.consumers.check_queues)

    async def drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_seconds):
                await self._arrived.join()
        if self._applying is not None:
            self._applying.cancel()

    async def close(self) -> None:
        await self.store.close()

    async def status(self) -> dict[str, Any]:
        return {
            "outbox": 0,
            "outbox_age": 0.0,
            "started": 0,
            "waiting": self._arrived.qsize(),
            "due": 0,
            "due_age": 0.0,
            "dead": 0,
        }

    def behind(self) -> float:
        """How old the oldest event is that this view holds and does not show yet, in seconds."""
        return _age(self._oldest) if self._oldest is not None else 0.0

    async def read(self, handling: MessageProcessor) -> Any:
        handling.news = self._applied
        async with self.store.read() as connection:
            return await handling.handler.first(handling.message, connection)

    async def something_new(self, handling: MessageProcessor) -> None:
        """What was applied since the look began; and another replica may apply what this one waits for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                await (handling.news or self._applied).wait()

    away = CONNECTION_ERRORS

    def collect(self, raw: AbstractIncomingMessage, handler: Handler) -> bool:
        if not handler.is_query:
            self._arrived.put_nowait((raw, handler))
        return not handler.is_query

    async def _apply_all(self) -> None:
        """Apply what arrived, in that order; a short linger lets what belongs together share a transaction."""
        arrived: list[tuple[AbstractIncomingMessage, Handler]] = []
        while True:
            linger = LINGER_SECONDS if len(arrived) < BUSY else BUSY_LINGER_SECONDS
            arrived = [await self._arrived.get()]
            self._oldest = arrived[0][0]
            await asyncio.sleep(linger)
            while len(arrived) < self.settings.batch and not self._arrived.empty():
                arrived.append(self._arrived.get_nowait())
            try:
                batch = [waiting for one in arrived if (waiting := await self._event(*one))]
                if batch:
                    await self._apply(batch)
            except Exception:
                log.exception("a batch failed; it comes again", context=self.name)
                await self._give_back(raw for raw, _ in arrived)
            finally:
                self._oldest = None
                for _ in arrived:
                    self._arrived.task_done()

    async def _give_back(self, deliveries: Iterable[AbstractIncomingMessage]) -> None:
        await asyncio.sleep(LONGEST_PAUSE)
        for raw in deliveries:
            with contextlib.suppress(Exception):  # it was acknowledged, or its channel is gone
                await raw.nack(requeue=True)

    async def _event(self, raw: AbstractIncomingMessage, handler: Handler) -> _Waiting | None:
        try:
            envelope = envelopes.read(raw, handler.message.topic)
            event = read_body(handler.message, raw.body)
        except Unreadable as reason:
            await self.reject(raw, handler.message.topic, reason)
            return None
        assert isinstance(event, Event)
        if tracing.on is not None:
            return _Waiting(raw, event, tracing.show(tracing.on, envelope, self.name, raw.headers.get("traceparent")))
        return _Waiting(raw, event)

    async def _apply(self, batch: list[_Waiting]) -> None:
        """Apply, and acknowledge what was applied; while the database is away, wait."""
        pause = 0.02
        while True:
            try:
                await apply(self.worker, self.store, [waiting.event for waiting in batch])
            except CONNECTION_ERRORS as error:
                if not is_transient(error):
                    if isinstance(error, CULPRITS):
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
        self.on_applied(_age(batch[0].raw))
        for waiting in batch:
            if waiting.span is not None:
                tracing.end(waiting.span, "done")
        applied, self._applied = self._applied, asyncio.Event()
        applied.set()
        if failpoints.hook:
            await failpoints.hook(self.name, "applied")
        await _acknowledge(batch)

    async def _divide(self, batch: list[_Waiting], error: Exception) -> None:
        """Find the event that cannot be applied; its neighbours are."""
        if len(batch) > 1:
            half = len(batch) // 2
            await self._apply(batch[:half])
            await self._apply(batch[half:])
        else:
            await self.reject(batch[0].raw, batch[0].event.topic, Unreadable(f"could not be applied: {error!r}"[:1000]))


def _age(raw: AbstractIncomingMessage) -> float:
    """Seconds since a message was said, by the clock of whoever said it; 0 when it does not say."""
    at = raw.headers.get("at_ms")
    return max(0.0, datetime.now(UTC).timestamp() - at / 1000) if isinstance(at, int) else 0.0


async def _acknowledge(batch: list[_Waiting]) -> None:
    """Acknowledge a batch and all before it: events have a channel of their own, and are applied in its order."""
    last: dict[int, AbstractIncomingMessage] = {}
    for waiting in batch:
        with contextlib.suppress(*BROKER_ERRORS):  # the channel is gone: its messages come again, which is harmless
            last[id(waiting.raw.channel)] = waiting.raw
    for raw in last.values():
        with contextlib.suppress(*BROKER_ERRORS):
            await raw.ack(multiple=True)


async def apply(view: View, store: ViewDatabase, events: Iterable[Any], *, only: int | None = None) -> None:
    """Write a batch in one transaction, into each generation that is written, or `only` into one if it still is."""
    newest: dict[str, dict[Any, Any]] = {}
    lines: dict[tuple[Any, int, str], TimelineRow] = {}
    for event in events:
        copy = view.copies[event.topic]
        if not copy.keeps(event):
            continue
        key = getattr(event, copy.key)
        states = newest.setdefault(copy.table.name, {})
        if key not in states or states[key].version < event.version:
            states[key] = event
        line = copy.happened(event)
        lines[line.subject, line.version, line.what] = line
    async with store.change() as connection:
        generations = [one for one in await store.written_generations(connection) if only in (None, one)]
        if not generations:
            return
        for name in sorted(newest):  # tables and rows in one order: two replicas never wait for each other
            states = newest[name]
            copy = view.copies[next(iter(states.values())).topic]
            await store.put(connection, copy.table, generations, [states[key] for key in sorted(states)])
        await store.put(connection, store.tables.timeline, generations, [lines[key] for key in sorted(lines)])
