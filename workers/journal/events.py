"""Following the stream of events: read in batches, kept together with the place that was reached."""

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
from storage.database import Session
from storage.journal import Place, Said
from workers.journal.declared import journal
from workers.journal.feed import Ended, Feed, listen
from workers.journal.masking import readable
from workers.runtime.messaging.topology import STREAM
from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

AT_ONCE = 500
LINGER_SECONDS = 0.1
"""How long a batch is collected: ten transactions a second, however many events."""
RESUME_SECONDS = 5.0
THINGS_AT_MOST = 16
LATEST_MS = 4_102_444_800_000
"""The year 2100."""


@journal.every(1)
async def follow(context: WorkerRuntime) -> None:
    """Read the stream, unless another process does."""
    try:
        async with context.database.session() as session, _locked(session) as alone:
            if alone:
                await _read(context, session)
    except Ended as end:
        log.warning("the stream of events is away", context=context.name, reason=str(end))


@asynccontextmanager
async def _locked(session: Session) -> AsyncIterator[bool]:
    """The lock lives with the connection that also writes: whoever lost one has lost the other."""
    alone = await store.lock_reader(session)
    try:
        yield alone
    finally:
        if alone:
            await _unlock(session)


async def _unlock(session: Session) -> None:
    """Raises nothing: it runs when the reader is cancelled, too, and must not hide that."""
    try:
        await store.unlock_reader(session)
    except Exception:  # without its connection the lock is free
        with suppress(Exception):
            session.connection.terminate()


async def _read(context: WorkerRuntime, session: Session) -> None:
    async with session.connection.transaction():
        await store.make_months(session, datetime.now(UTC).date())
    place = await store.find_place(session, STREAM)
    while True:
        async with _listen(context, place) as feed:
            resumed = place if place.offset is None else await _resume(feed, session, place)
            if resumed is not None:
                await _keep_all(feed, session, resumed)
        log.warning("the stream is not the one that was read before: reading all of it", last_offset=place.offset)
        place = replace(place, offset=None)


def _listen(context: WorkerRuntime, place: Place) -> AbstractAsyncContextManager[Feed]:
    """From the last event that was kept, this one included: it shows whether the stream is still the same."""
    url = context.settings.amqp_url.get_secret_value()
    start: Any = "first" if place.offset is None else place.offset
    return listen(url, "journal: reads events", STREAM, prefetch=2 * AT_ONCE, arguments={"x-stream-offset": start})


async def _resume(feed: Feed, session: Session, place: Place) -> Place | None:
    """Keep what lies behind the last event that was kept; None when the stream does not hold that event.

    A stream that has forgotten it, by its age, is still the same; one that is shorter was made anew.
    """
    assert place.offset is not None
    messages = await feed.batch(AT_ONCE, linger=LINGER_SECONDS, patience=RESUME_SECONDS)
    if not messages:
        return None
    events = [said(message) for message in messages]
    first = events[0]
    if first.offset < place.offset or (first.offset == place.offset and first.message_id != place.message_id):
        return None
    if first.offset > place.offset + 1:
        log.error("the stream has forgotten events that were never read", missing=first.offset - place.offset - 1)
    place = await _keep(session, place, [event for event in events if event.offset > place.offset])
    await feed.ack(messages[-1])
    return place


async def _keep_all(feed: Feed, session: Session, place: Place) -> Never:
    while True:
        messages = await feed.batch(AT_ONCE, linger=LINGER_SECONDS)
        place = await _keep(session, place, [said(message) for message in messages])
        await feed.ack(messages[-1])


async def _keep(session: Session, place: Place, events: list[Said]) -> Place:
    if not events:
        return place
    async with session.connection.transaction():
        moved = await store.keep_events(session, STREAM, place, events)
    if moved is None:
        raise Ended("another process reads the stream")
    return moved


def said(message: AbstractIncomingMessage) -> Said:
    """An event as it is kept; one whose properties cannot be read is kept all the same."""
    headers = message.headers
    offset = int(headers["x-stream-offset"])  # type: ignore[arg-type]
    topic = message.type or message.routing_key or ""
    message_id = _uuid(message.message_id) or uuid5(NAMESPACE_OID, f"{offset} {sha256(message.body).hexdigest()}")
    return Said(
        offset=offset,
        message_id=message_id,
        topic=topic,
        context=message.app_id or topic.rpartition(".")[0],
        story_id=_uuid(headers.get("story_id")) or message_id,
        causation_id=_uuid(headers.get("causation_id")),
        actor=str(headers.get("actor") or message.app_id or "unknown"),
        at=_said_at(headers.get("at_ms"), message.timestamp),
        body=readable(message.body),
        things=things_in(message.body),
    )


def _said_at(at_ms: Any, stamp: datetime | None) -> datetime:
    """When its sender said it; AMQP's own stamp has whole seconds."""
    if isinstance(at_ms, int) and 0 < at_ms < LATEST_MS:
        return datetime.fromtimestamp(at_ms / 1000, UTC)
    return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) if stamp else datetime.now(UTC)


def things_in(body: bytes) -> list[UUID]:
    """The ids at the top of an event's body, by which its story is found."""
    try:
        fields = json.loads(body)
    except ValueError:
        return []
    if not isinstance(fields, dict):
        return []
    found = {_uuid(value) for value in fields.values() if isinstance(value, str) and len(value) == 36}
    return sorted(id for id in found if id)[:THINGS_AT_MOST]


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


@journal.every(3600)
async def keep_house(context: WorkerRuntime) -> None:
    """Make the next months' partitions, and drop those that are too old."""
    async with context.database.transaction() as session:
        await store.make_months(session, datetime.now(UTC).date())
        dropped = await store.drop_months(session, timedelta(days=context.settings.keep_journal_days))
    if dropped:
        log.info("old months were dropped", partitions=dropped)


@journal.every(60)
async def forget_reports(context: WorkerRuntime) -> None:
    async with context.database.session() as session:
        await store.forget_reports(session, RecordHandled.topic)
