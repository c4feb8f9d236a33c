"""The journal's tables: events and handled messages (partitioned by month), the stream reader's position, dead letters.

Each event has a position, in the order of the stream. Only the reader that holds the advisory lock writes events:
once a position is visible, no smaller position appears later.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.base import Page
from contracts.journal import DeadLetter, ListDeadLetters, Resolution, StoredEvent, StoryEntry
from storage import paging
from storage.database import Row, Session, Statement

READER_LOCK = zlib.crc32(b"yeyak.journal: reader")
MAX_STORIES = 50
MAX_ENTRIES = 2000


# -- the stream reader


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """The reader's progress: stream offset, id and journal position of the last stored event.

    `offset` and `message_id` are None before the first event.
    """

    offset: int | None
    message_id: UUID | None
    journal_position: int


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event that was read from the stream."""

    offset: int
    message_id: UUID
    topic: str
    context: str
    story_id: UUID
    causation_id: UUID | None
    actor: str
    at: datetime
    body: str
    entity_ids: list[UUID]
    """The ids in its body."""


_LOCK = Statement("select pg_try_advisory_lock(:key)")
_UNLOCK = Statement("select pg_advisory_unlock(:key)")


async def lock_reader(session: Session) -> bool:
    """Take the reader's lock, which the connection holds until it is released or closed; False when it is taken."""
    return bool(await session.value(_LOCK, key=READER_LOCK))


async def unlock_reader(session: Session) -> None:
    await session.value(_UNLOCK, key=READER_LOCK)


_ADD_READER = Statement("insert into journal.reader (stream) values (:stream) on conflict do nothing")
_LOAD_POSITION = Statement("""
    select last_offset as offset, last_message as message_id, position as journal_position
    from journal.reader where stream = :stream""")


async def load_position(session: Session, stream: str) -> StreamPosition:
    """The reader's position in a stream; creates its row on first use."""
    await session.value(_ADD_READER, stream=stream)
    row = await session.one(_LOAD_POSITION, stream=stream)
    assert row is not None
    return StreamPosition(**row)


_ADVANCE = Statement("""
    update journal.reader set last_offset = :offset, last_message = :message_id, position = position + :count
    where stream = :stream and position = :position returning position""")

# The stream may deliver an event again while it retains it (7 days): duplicates are searched for in the last 31 days.
# A lateral search is an index scan whatever the planner believes of a new table; `not exists` read all of it (0008).
_APPEND = Statement("""
    insert into journal.events
      (position, message_id, topic, context, story_id, causation_id, actor, at, body, things)
    select cast(:position as bigint) + n, message_id, topic, context, story_id, causation_id, actor, at, body,
      cast(things as uuid[])
    from unnest(cast(:message_ids as uuid[]), cast(:topics as text[]), cast(:contexts as text[]),
      cast(:story_ids as uuid[]), cast(:causation_ids as uuid[]), cast(:actors as text[]),
      cast(:ats as timestamptz[]), cast(:bodies as text[]), cast(:things as text[]))
      with ordinality u(message_id, topic, context, story_id, causation_id, actor, at, body, things, n)
      left join lateral (select true as known from journal.events e
        where e.message_id = u.message_id and e.at > now() - interval '31 days' limit 1) stored on true
    where stored.known is null""")
_ASYNC_COMMIT = Statement("set local synchronous_commit = off")


async def append_events(
    session: Session, stream: str, reached: StreamPosition, events: list[StreamEvent]
) -> StreamPosition | None:
    """Store a batch of events and the reader's new position, within a transaction; returns the new position.

    Returns None when another reader has advanced the position. Events that are stored already are skipped. The commit
    is asynchronous: events that a crash of the server loses are read again from the stream.
    """
    await session.value(_ASYNC_COMMIT)
    last = events[-1]
    moved = await session.value(
        _ADVANCE,
        stream=stream,
        position=reached.journal_position,
        offset=last.offset,
        message_id=last.message_id,
        count=len(events),
    )
    if moved is None:
        return None
    new = list({event.message_id: event for event in events}.values())
    await session.value(
        _APPEND,
        position=reached.journal_position,
        message_ids=[event.message_id for event in new],
        topics=[event.topic for event in new],
        contexts=[event.context for event in new],
        story_ids=[event.story_id for event in new],
        causation_ids=[event.causation_id for event in new],
        actors=[event.actor for event in new],
        ats=[event.at for event in new],
        bodies=[event.body for event in new],
        things=["{" + ",".join(map(str, event.entity_ids)) + "}" for event in new],
    )
    return StreamPosition(last.offset, last.message_id, moved)


# -- reading events

_READ = Statement("""
    select position, message_id, topic, body, at from journal.events
    where position > :after and topic = any(cast(:topics as text[])) order by position limit :limit""")


async def read_events(session: Session, topics: list[str], after: int, limit: int) -> list[StoredEvent]:
    """Up to `limit` events of some topics after a position, in the order of their positions."""
    rows = await session.all(_READ, topics=topics, after=after, limit=limit)
    return [StoredEvent.model_construct(**row) for row in rows]


_MARK = Statement("""
    select min(position) from journal.events where topic = :topic and things @> array[cast(:mark_id as uuid)]""")


async def find_mark(session: Session, topic: str, mark_id: UUID) -> int | None:
    """The position of the event of `topic` that carries `mark_id`; None when it is not stored yet."""
    position: int | None = await session.value(_MARK, topic=topic, mark_id=mark_id)
    return position


# -- handled messages

_RECORD_HANDLED = Statement("""
    with inserted as (
      insert into journal.handled
      select kind, context, message_id, topic, outcome, story_id, causation_id, actor, at, took_ms, attempt
      from json_to_recordset(cast(:report as json) -> 'entries') as e(kind text, context text, message_id uuid,
        topic text, outcome text, story_id uuid, causation_id uuid, actor text, at timestamptz, took_ms float,
        attempt integer)
      returning 1)
    select count(*) from inserted""")


async def record_handled(session: Session, report: str) -> int:
    """Store the entries of a report, the JSON of a `RecordHandled`; returns their number."""
    await session.value(_ASYNC_COMMIT)
    count: int = await session.value(_RECORD_HANDLED, report=report)
    return count


_DELETE_REPORTS = Statement("""
    delete from journal.inbox
    where received_at < now() - interval '10 minutes' and topic = :topic and state = 'done'""")


async def delete_reports(session: Session, topic: str) -> None:
    """Delete the inbox rows of reports after ten minutes: there are several per second, and none is sent twice."""
    await session.value(_DELETE_REPORTS, topic=topic)


# -- stories

_FIND_STORIES = Statement("""
    select story_id from (
      select story_id, at from journal.events
        where story_id = :id or message_id = :id or things @> array[cast(:id as uuid)]
      union all
      select story_id, at from journal.handled where story_id = :id or message_id = :id
      union all
      select story_id, died_at from journal.dead_letters
        where story_id = :id or dead_letter_id = :id or message_id = cast(cast(:id as uuid) as text)) found
    where story_id is not null group by story_id order by max(at) desc limit :limit""")


async def find_stories(session: Session, id: UUID) -> list[UUID]:
    """Ids of the stories in which an id appears as story, message or entity of an event; newest first, limited."""
    return [row["story_id"] for row in await session.all(_FIND_STORIES, id=id, limit=MAX_STORIES)]


_ENTRIES = Statement("""
    select * from (
      select at, 'event' as kind, context, topic, 'said' as outcome, message_id, causation_id, actor,
        null::float as took_ms, 1 as attempt, body
      from journal.events where story_id = any(cast(:stories as uuid[]))
      union all
      select at - took_ms * interval '1 millisecond', kind, context, topic, outcome, message_id, causation_id, actor,
        took_ms, attempt, null
      from journal.handled where story_id = any(cast(:stories as uuid[]))
      union all
      select died_at, 'dead_letter', context, coalesce(topic, queue, ''), error, null, causation_id, actor, null,
        attempts, null
      from journal.dead_letters where story_id = any(cast(:stories as uuid[]))
      union all
      select r.at, 'operator', 'journal', r.action || ' ' || coalesce(d.topic, d.queue, ''), r.reason, null, null, r.by,
        null, 1, null
      from journal.resolutions r join journal.dead_letters d using (dead_letter_id)
      where d.story_id = any(cast(:stories as uuid[]))) entries
    order by at limit :limit""")


async def story_entries(session: Session, stories: list[UUID]) -> list[StoryEntry]:
    """Entries of some stories, ordered by time, limited; the time of a handled message is when its handling began."""
    rows = await session.all(_ENTRIES, stories=stories, limit=MAX_ENTRIES)
    return [StoryEntry.model_construct(**row) for row in rows]


# -- dead letters


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """A dead letter to store; `dead_letter_id` is derived from queue and message, so that each is stored once."""

    dead_letter_id: UUID
    source: str
    context: str
    queue: str | None
    message_id: str | None
    topic: str | None
    body: str
    whole: bool
    """`body` is the original: neither truncated, nor escaped, nor masked."""
    headers: str
    error: str
    attempts: int
    death: str
    """Identifies this failure: a replayed message that fails again has another value."""
    story_id: UUID | None
    causation_id: UUID | None
    actor: str
    redelivered: bool = False
    """The broker delivers it a second time."""


_FILE = Statement("""
    insert into journal.dead_letters as existing (dead_letter_id, status, source, context, queue, message_id, topic,
      body, whole, headers, error, attempts, death, story_id, causation_id, actor)
    values (:dead_letter_id, 'DEAD', :source, :context, :queue, :message_id, :topic, :body, :whole, :headers, :error,
      :attempts, :death, :story_id, :causation_id, :actor)
    on conflict (dead_letter_id) do update set status = 'DEAD', body = excluded.body, whole = excluded.whole,
      headers = excluded.headers, error = excluded.error, attempts = excluded.attempts, times = existing.times + 1,
      death = excluded.death, died_at = now(), closed_by = null, closed_reason = null, closed_at = null
      where existing.death <> excluded.death or not cast(:redelivered as boolean)""")


async def file_dead_letters(session: Session, dead_letters: list[NewDeadLetter]) -> None:
    """Store dead letters with the status DEAD; one that was closed and failed again is opened again."""
    rows = [{name: getattr(dead_letter, name) for name in NewDeadLetter.__slots__} for dead_letter in dead_letters]
    await session.many(_FILE, rows)


def dead_letter_of(row: Row, resolutions: tuple[Resolution, ...] = ()) -> DeadLetter:
    """The contract's shape of a row."""
    return DeadLetter.model_validate({**row, "resolutions": resolutions})


_LIST = paging.Newest(
    DeadLetter,
    "journal.dead_letters",
    "dead_letter_id",
    at="died_at",
    filters=("status", "context"),
    conditions={"message_topic": "topic = :message_topic", "error": "strpos(error, :error) > 0"},
    make=dead_letter_of,
)


async def list_dead_letters(session: Session, query: ListDeadLetters) -> Page[DeadLetter]:
    """One page, newest first; raises InvalidMessage for a malformed cursor."""
    return await _LIST.page(session, query.model_copy(update={"limit": max(1, min(query.limit, 200))}))


_COUNT = Statement("select context, count(*) from journal.dead_letters where status = 'DEAD' group by context")


async def count_dead_letters(session: Session) -> dict[str, int]:
    """The number of open dead letters by context."""
    return {row["context"]: row["count"] for row in await session.all(_COUNT)}


_FIND_DEAD_LETTER = Statement("select * from journal.dead_letters where dead_letter_id = :id")
_RESOLUTIONS = Statement("""
    select action, by, reason, at from journal.resolutions where dead_letter_id = :id order by at""")


async def find_dead_letter(session: Session, dead_letter_id: UUID) -> Row | None:
    """The row of a dead letter; None when there is none."""
    return await session.one(_FIND_DEAD_LETTER, id=dead_letter_id)


async def resolutions_of(session: Session, dead_letter_id: UUID) -> tuple[Resolution, ...]:
    """The decisions about a dead letter, oldest first."""
    rows = await session.all(_RESOLUTIONS, id=dead_letter_id)
    return tuple(Resolution.model_construct(**row) for row in rows)


_CLOSE = Statement("""
    with closed as (
      update journal.dead_letters set status = :status, closed_by = :by, closed_reason = :reason, closed_at = now()
      where dead_letter_id = :dead_letter_id and status = 'DEAD' returning *),
    recorded as (
      insert into journal.resolutions (id, dead_letter_id, action, by, reason)
      select :id, dead_letter_id, :action, :by, :reason from closed)
    select * from closed""")


async def close_dead_letter(
    session: Session, id: UUID, dead_letter_id: UUID, status: str, action: str, by: str, reason: str
) -> Row | None:
    """Close a dead letter and record who did it and why; None when it is not open. `id` is the resolution's id."""
    return await session.one(
        _CLOSE, id=id, dead_letter_id=dead_letter_id, status=status, action=action, by=by, reason=reason
    )
