"""Store the stream of events: read in batches, each stored in one transaction with the position that it reaches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Never
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog
from aio_pika.abc import AbstractIncomingMessage

from contracts.journal import RecordHandled
from storage import journal as store
from storage import journal_partitions as partitions
from storage.database import CONNECTION_ERRORS, Session
from storage.journal import StreamEvent, StreamPosition
from workers.journal.base import journal
from workers.journal.masking import id_in, printable
from workers.runtime.messaging.batch_consumer import BatchConsumer, ConsumerClosed, consume_batches
from workers.runtime.messaging.topology import STREAM
from workers.runtime.observability import metrics
from workers.runtime.observability.log_events import EVENT_NOT_STORED
from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

BATCH_SIZE = 500
LINGER_SECONDS = 0.1
"""How long a batch is collected: at most ten transactions per second, independent of the event rate."""
RESUME_SECONDS = 5.0
MAX_ENTITY_IDS = 16
LAG_SECONDS = 60.0
LONGEST_TEXT = 300
NOT_STORED = "journal.not_stored"
"""The topic that stands for an event which the database refuses."""
LATEST_MS = 4_102_444_800_000
"""The year 2100."""


@journal.every(1)
async def read_stream(context: WorkerRuntime) -> None:
    """Read the stream, unless another process is reading it; raises ConsumerClosed."""
    async with context.database.session() as session, _reader_lock(session) as is_locked:
        if is_locked:
            await _read(context, session)


@asynccontextmanager
async def _reader_lock(session: Session) -> AsyncIterator[bool]:
    """Hold the reader's lock on the connection that also writes: a lost connection loses both."""
    is_locked = await store.lock_reader(session)
    try:
        yield is_locked
    finally:
        if is_locked:
            await _unlock(session)


async def _unlock(session: Session) -> None:
    """Release the lock. Raises nothing: it also runs when the reader is cancelled, and must not replace that error."""
    try:
        await store.unlock_reader(session)
    except Exception:  # closing the connection releases the lock as well
        with suppress(Exception):
            session.connection.terminate()


async def _read(context: WorkerRuntime, session: Session) -> None:
    async with session.connection.transaction():
        await partitions.create_partitions(session, datetime.now(UTC).date())
    reached = await store.load_position(session, STREAM)
    while True:
        async with _consume(context, reached) as consumer:
            context.health.succeeded(read_stream.__qualname__)
            resumed = reached if reached.offset is None else await _resume(consumer, session, reached)
            if resumed is not None:
                await _append_all(context, consumer, session, resumed)
        log.warning("event_stream_replaced", last_offset=reached.offset)
        reached = replace(reached, offset=None)


def _consume(context: WorkerRuntime, reached: StreamPosition) -> AbstractAsyncContextManager[BatchConsumer]:
    """Consume from the last stored event, including it: it shows whether the stream is still the same."""
    url = context.settings.amqp_url.get_secret_value()
    arguments: dict[str, Any] = {"x-stream-offset": "first" if reached.offset is None else reached.offset}
    return consume_batches(url, "journal: reads events", STREAM, prefetch=2 * BATCH_SIZE, arguments=arguments)


async def _resume(consumer: BatchConsumer, session: Session, reached: StreamPosition) -> StreamPosition | None:
    """Store the first batch after the last stored event; None when this is another stream.

    The stream is the same when it begins with the last stored event, or later (its retention has removed that event).
    It is another one when it is shorter, or has another event at that offset.
    """
    assert reached.offset is not None
    messages = await consumer.batch(BATCH_SIZE, linger=LINGER_SECONDS, timeout=RESUME_SECONDS)
    if not messages:
        return None
    events = events_of(messages, reached.offset)
    first = events[0]
    if first.offset < reached.offset or (first.offset == reached.offset and first.message_id != reached.message_id):
        return None
    if first.offset > reached.offset + 1:
        log.error("event_stream_truncated", missing=first.offset - reached.offset - 1)
    reached = await _append(session, reached, [event for event in events if event.offset > reached.offset])
    await consumer.ack(messages[-1])
    return reached


async def _append_all(
    context: WorkerRuntime, consumer: BatchConsumer, session: Session, reached: StreamPosition
) -> Never:
    while True:
        messages = await consumer.batch(BATCH_SIZE, linger=LINGER_SECONDS)
        events = events_of(messages, 0 if reached.offset is None else reached.offset + 1)
        note_lag(context, events)
        reached = await _append(session, reached, events)
        await consumer.ack(messages[-1])


def note_lag(context: WorkerRuntime, events: list[StreamEvent]) -> None:
    """Make the journal unready while it falls behind: several full batches in a row that are old."""
    more_wait = len(events) == BATCH_SIZE
    lag = max(0.0, (datetime.now(UTC) - events[0].at).total_seconds()) if more_wait else 0.0
    metrics.VIEW_BEHIND.labels(context.name).set(lag)
    if lag > LAG_SECONDS:
        context.health.failed("event stream", f"the journal is {lag:.0f} s behind")
    else:
        context.health.succeeded("event stream")


async def _append(session: Session, reached: StreamPosition, events: list[StreamEvent]) -> StreamPosition:
    if not events:
        return reached
    try:
        async with session.connection.transaction():
            advanced = await store.append_events(session, STREAM, reached, events)
    except (*CONNECTION_ERRORS, TimeoutError):
        raise
    except Exception as error:
        return await _append_divided(session, reached, events, error)
    if advanced is None:
        raise ConsumerClosed("another process reads the stream")
    return advanced


async def _append_divided(
    session: Session, reached: StreamPosition, events: list[StreamEvent], error: Exception
) -> StreamPosition:
    """Find the event that cannot be stored, and store that it was there: the reader goes on."""
    half = len(events) // 2
    if half:
        return await _append(session, await _append(session, reached, events[:half]), events[half:])
    (event,) = events
    if event.topic == NOT_STORED:
        raise error
    placeholder = replace(event, topic=NOT_STORED, context="journal", actor="unknown", body="{}", entity_ids=[])
    reached = await _append(session, reached, [placeholder])
    log.error(EVENT_NOT_STORED, offset=event.offset, topic=event.topic, error=repr(error))
    return reached


def events_of(messages: list[AbstractIncomingMessage], expected: int) -> list[StreamEvent]:
    """The events of some deliveries; `expected` is the offset of the first one, if its own cannot be read."""
    events: list[StreamEvent] = []
    for message in messages:
        events.append(event_of(message, expected))
        expected = events[-1].offset + 1
    return events


def event_of(message: AbstractIncomingMessage, expected: int) -> StreamEvent:
    """The event of a delivery; properties that are missing or malformed are replaced by defaults."""
    headers = message.headers
    given = headers.get("x-stream-offset")
    offset = given if isinstance(given, int) else expected
    topic = _text(message.type or message.routing_key or "")
    message_id = id_in(message.message_id) or uuid5(NAMESPACE_OID, f"{offset} {sha256(message.body).hexdigest()}")
    return StreamEvent(
        offset=offset,
        message_id=message_id,
        topic=topic,
        context=_text(message.app_id or topic.rpartition(".")[0]),
        story_id=id_in(headers.get("story_id")) or message_id,
        causation_id=id_in(headers.get("causation_id")),
        actor=_text(headers.get("actor") or message.app_id or "unknown"),
        at=_published_at(headers.get("at_ms"), message.timestamp),
        body=printable(message.body),
        entity_ids=entity_ids_in(message.body),
    )


def _published_at(at_ms: Any, stamp: datetime | None) -> datetime:
    """The publication time from the `at_ms` header, else from AMQP's timestamp, which has whole seconds only."""
    if isinstance(at_ms, int) and 0 < at_ms < LATEST_MS:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) if stamp else datetime.now(UTC)


def entity_ids_in(body: bytes) -> list[UUID]:
    """The ids in the top-level fields of an event's body, by which its story is found."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(fields, dict):
        return []
    found = {id_in(value) for value in fields.values() if isinstance(value, str) and len(value) == 36}
    return sorted(id for id in found if id)[:MAX_ENTITY_IDS]


def _text(value: Any) -> str:
    return value.replace("\x00", "\\x00")[:LONGEST_TEXT] if isinstance(value, str) else "unknown"


@journal.every(3600)
async def maintain_partitions(context: WorkerRuntime) -> None:
    """Create the partitions of the next months, and drop the expired ones."""
    async with context.database.transaction() as session:
        await partitions.create_partitions(session, datetime.now(UTC).date())
        dropped = await partitions.drop_partitions(session, timedelta(days=context.settings.keep_journal_days))
    if dropped:
        log.info("journal_partitions_dropped", partitions=dropped)


@journal.every(60)
async def delete_reports(context: WorkerRuntime) -> None:
    async with context.database.session() as session:
        await store.delete_reports(session, RecordHandled.topic)
