"""The journal's tables: events and what was handled by month, the reader's place in the stream, dead letters.

Each event has a position, in the order of the stream. Only the reader that holds the lock writes events, so a
position that was seen means that no smaller one will appear.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.journal import DeadLetter, KeptEvent, ListDeadLetters, Resolution, StoryEntry
from storage import paging
from storage.database import Row, Session, Statement

READER_LOCK = zlib.crc32(b"yeyak.journal: reader")
MONTHS_LOCK = zlib.crc32(b"yeyak.journal: months")
BY_MONTH = ("events", "handled")
MONTHS_AHEAD = 2
STORIES_AT_MOST = 50
ENTRIES_AT_MOST = 2000


# -- the reader


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reader is: the offset and the id of the last event it kept, and the last position it gave."""

    offset: int | None
    message_id: UUID | None
    position: int


@dataclass(frozen=True, slots=True)
class Said:
    """An event from the stream."""

    offset: int
    message_id: UUID
    topic: str
    context: str
    story_id: UUID
    causation_id: UUID | None
    actor: str
    at: datetime
    body: str
    things: list[UUID]
    """The ids that its body names."""


_LOCK = Statement("select pg_try_advisory_lock(:key)")
_UNLOCK = Statement("select pg_advisory_unlock(:key)")


async def lock_reader(session: Session) -> bool:
    """Become the only reader, for as long as this connection lives; False while there is another."""
    return bool(await session.value(_LOCK, key=READER_LOCK))


async def unlock_reader(session: Session) -> None:
    await session.value(_UNLOCK, key=READER_LOCK)


_ENTER = Statement("insert into journal.reader (stream) values (:stream) on conflict do nothing")
_PLACE = Statement("""
    select last_offset as offset, last_message as message_id, position from journal.reader where stream = :stream""")


async def find_place(session: Session, stream: str) -> Place:
    """Where reading goes on."""
    await session.value(_ENTER, stream=stream)
    row = await session.one(_PLACE, stream=stream)
    assert row is not None
    return Place(**row)


_MOVE = Statement("""
    update journal.reader set last_offset = :offset, last_message = :message_id, position = position + :count
    where stream = :stream and position = :position returning position""")

# Events come again within the age that the stream keeps (7 days), hence the month.
_KEEP = Statement("""
    insert into journal.events
      (position, message_id, topic, context, story_id, causation_id, actor, at, body, things)
    select cast(:position as bigint) + n, message_id, topic, context, story_id, causation_id, actor, at, body,
      cast(things as uuid[])
    from unnest(cast(:message_ids as uuid[]), cast(:topics as text[]), cast(:contexts as text[]),
      cast(:story_ids as uuid[]), cast(:causation_ids as uuid[]), cast(:actors as text[]),
      cast(:ats as timestamptz[]), cast(:bodies as text[]), cast(:things as text[]))
      with ordinality u(message_id, topic, context, story_id, causation_id, actor, at, body, things, n)
    where not exists (select from journal.events e
      where e.message_id = u.message_id and e.at > now() - interval '31 days')""")
_CHEAPLY = Statement("set local synchronous_commit = off")


async def keep_events(session: Session, stream: str, place: Place, events: list[Said]) -> Place | None:
    """Keep a batch and the reader's new place, within a transaction; None when another reader was here.

    An event that is here already is left out. What a crash of the server takes back is read again from the stream.
    """
    await session.value(_CHEAPLY)
    last = events[-1]
    moved = await session.value(
        _MOVE, stream=stream, position=place.position, offset=last.offset, message_id=last.message_id, count=len(events)
    )
    if moved is None:
        return None
    new = list({event.message_id: event for event in events}.values())
    await session.value(
        _KEEP,
        position=place.position,
        message_ids=[event.message_id for event in new],
        topics=[event.topic for event in new],
        contexts=[event.context for event in new],
        story_ids=[event.story_id for event in new],
        causation_ids=[event.causation_id for event in new],
        actors=[event.actor for event in new],
        ats=[event.at for event in new],
        bodies=[event.body for event in new],
        things=["{" + ",".join(map(str, event.things)) + "}" for event in new],
    )
    return Place(last.offset, last.message_id, moved)


# -- reading events again

_READ = Statement("""
    select position, message_id, topic, body, at from journal.events
    where position > :after and topic = any(cast(:topics as text[])) order by position limit :limit""")


async def read_events(session: Session, topics: list[str], after: int, limit: int) -> list[KeptEvent]:
    rows = await session.all(_READ, topics=topics, after=after, limit=limit)
    return [KeptEvent.model_construct(**row) for row in rows]


_MARK = Statement("""
    select min(position) from journal.events where topic = :topic and things @> array[cast(:mark_id as uuid)]""")


async def find_mark(session: Session, topic: str, mark_id: UUID) -> int | None:
    position: int | None = await session.value(_MARK, topic=topic, mark_id=mark_id)
    return position


# -- what was handled and asked

_RECORD = Statement("""
    with kept as (
      insert into journal.handled
      select kind, context, message_id, topic, outcome, story_id, causation_id, actor, at, took_ms, attempt
      from json_to_recordset(cast(:report as json) -> 'entries') as e(kind text, context text, message_id uuid,
        topic text, outcome text, story_id uuid, causation_id uuid, actor text, at timestamptz, took_ms float,
        attempt integer)
      returning 1)
    select count(*) from kept""")


async def record(session: Session, report: str) -> int:
    """Keep a report, the JSON of a `RecordHandled`; returns the number of its entries."""
    await session.value(_CHEAPLY)
    count: int = await session.value(_RECORD, report=report)
    return count


_FORGET_REPORTS = Statement("""
    delete from journal.inbox
    where received_at < now() - interval '10 minutes' and topic = :topic and state = 'done'""")


async def forget_reports(session: Session, topic: str) -> None:
    """Reports come several times a second and are told once: their inbox rows are not worth keeping for long."""
    await session.value(_FORGET_REPORTS, topic=topic)


# -- stories

_STORIES = Statement("""
    select story_id from (
      select story_id, at from journal.events
        where story_id = :id or message_id = :id or things @> array[cast(:id as uuid)]
      union all
      select story_id, at from journal.handled where story_id = :id or message_id = :id
      union all
      select story_id, died_at from journal.dead_letters
        where story_id = :id or dead_letter_id = :id or message_id = cast(cast(:id as uuid) as text)) found
    where story_id is not null group by story_id order by max(at) desc limit :most""")


async def find_stories(session: Session, id: UUID) -> list[UUID]:
    """The stories in which an id appears: as a story, a message, or a thing that an event names; the newest ones."""
    return [row["story_id"] for row in await session.all(_STORIES, id=id, most=STORIES_AT_MOST)]


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
    order by at limit :most""")


async def story_entries(session: Session, stories: list[UUID]) -> list[StoryEntry]:
    """All that is known of some stories, by time; what was handled and asked counts from its beginning."""
    rows = await session.all(_ENTRIES, stories=stories, most=ENTRIES_AT_MOST)
    return [StoryEntry.model_construct(**row) for row in rows]


# -- dead letters


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead letter to be filed; `dead_letter_id` is derived from where it died, so that it is filed once."""

    dead_letter_id: UUID
    source: str
    context: str
    queue: str | None
    message_id: str | None
    topic: str | None
    body: str
    whole: bool
    """The body is the message's own: neither cut, nor escaped, nor masked."""
    headers: str
    error: str
    attempts: int
    death: str
    """Tells one death of a message from another."""
    story_id: UUID | None
    causation_id: UUID | None
    actor: str
    again: bool = False
    """The broker delivers it a second time."""


_FILE = Statement("""
    insert into journal.dead_letters as letter (dead_letter_id, status, source, context, queue, message_id, topic, body,
      whole, headers, error, attempts, death, story_id, causation_id, actor)
    values (:dead_letter_id, 'DEAD', :source, :context, :queue, :message_id, :topic, :body, :whole, :headers, :error,
      :attempts, :death, :story_id, :causation_id, :actor)
    on conflict (dead_letter_id) do update set status = 'DEAD', body = excluded.body, whole = excluded.whole,
      headers = excluded.headers, error = excluded.error, attempts = excluded.attempts, times = letter.times + 1,
      death = excluded.death, died_at = now(), closed_by = null, closed_reason = null, closed_at = null
      where letter.death <> excluded.death or not cast(:again as boolean)""")


async def file(session: Session, letters: list[Dead]) -> None:
    """File dead letters; one that died before is dead again."""
    rows = [{name: getattr(letter, name) for name in Dead.__slots__} for letter in letters]
    await session.many(_FILE, rows)


_LIST = Statement("""
    select * from journal.dead_letters
    where (cast(:status as text) is null or status = :status) and (cast(:context as text) is null or context = :context)
      and (cast(:topic as text) is null or topic = :topic)
      and (cast(:error as text) is null or strpos(error, :error) > 0)
      and (cast(:at as timestamptz) is null or (died_at, dead_letter_id) < (:at, cast(:id as uuid)))
    order by died_at desc, dead_letter_id desc limit cast(:limit as integer) + 1""")


async def list_dead_letters(session: Session, query: ListDeadLetters) -> tuple[list[DeadLetter], str | None]:
    """One page, the newest first, and the cursor of the next; raises Refused for a cursor that is none."""
    at, id = paging.decode(query.cursor)
    limit = max(1, min(query.limit, 200))
    rows = await session.all(
        _LIST,
        status=query.status,
        context=query.context,
        topic=query.message_topic,
        error=query.error,
        at=at,
        id=id,
        limit=limit,
    )
    return paging.page(rows, limit, dead_letter_of, lambda letter: (letter.died_at, letter.dead_letter_id))


def dead_letter_of(row: Row, resolutions: tuple[Resolution, ...] = ()) -> DeadLetter:
    return DeadLetter.model_validate({**row, "resolutions": resolutions})


_COUNT = Statement("select context, count(*) from journal.dead_letters where status = 'DEAD' group by context")


async def count_dead_letters(session: Session) -> dict[str, int]:
    """How many of each context nobody has decided about."""
    return {row["context"]: row["count"] for row in await session.all(_COUNT)}


_LOOK = Statement("select * from journal.dead_letters where dead_letter_id = :id")
_RESOLUTIONS = Statement("""
    select action, by, reason, at from journal.resolutions where dead_letter_id = :id order by at""")


async def look(session: Session, dead_letter_id: UUID) -> Row | None:
    return await session.one(_LOOK, id=dead_letter_id)


async def resolutions_of(session: Session, dead_letter_id: UUID) -> tuple[Resolution, ...]:
    rows = await session.all(_RESOLUTIONS, id=dead_letter_id)
    return tuple(Resolution.model_construct(**row) for row in rows)


_CLOSE = Statement("""
    with closed as (
      update journal.dead_letters set status = :status, closed_by = :by, closed_reason = :reason, closed_at = now()
      where dead_letter_id = :dead_letter_id and status = 'DEAD' returning *),
    noted as (
      insert into journal.resolutions (id, dead_letter_id, action, by, reason)
      select :id, dead_letter_id, :action, :by, :reason from closed)
    select * from closed""")


async def close(
    session: Session, id: UUID, dead_letter_id: UUID, status: str, action: str, by: str, reason: str
) -> Row | None:
    """Close a dead letter and note who did it and why; None when it is not open. `id` is the resolution's own."""
    return await session.one(
        _CLOSE, id=id, dead_letter_id=dead_letter_id, status=status, action=action, by=by, reason=reason
    )


# -- months


def month_after(month: date, count: int = 1) -> date:
    """The first day of the month that is `count` months later."""
    years, zero_based = divmod(month.month - 1 + count, 12)
    return date(month.year + years, zero_based + 1, 1)


async def make_months(session: Session, today: date) -> None:
    """Make this month's partitions and the next ones', within a transaction; rows that came too early move in."""
    await session.connection.execute("select pg_advisory_xact_lock($1)", MONTHS_LOCK)
    for table in BY_MONTH:
        for ahead in range(MONTHS_AHEAD + 1):
            await _make_month(session, table, month_after(today.replace(day=1), ahead))


async def _make_month(session: Session, table: str, month: date) -> None:
    if await session.connection.fetchval("select to_regclass($1)", f"journal.{table}_{month:%Y_%m}"):
        return
    # nobody writes meanwhile: a row that came into the other partition after the move would forbid attaching
    source = """
        lock table journal.{table} in access exclusive mode;
        create table journal.{table}_{name} (like journal.{table} including all);
        with early as (delete from journal.{table}_other where at >= '{first}' and at < '{next}' returning *)
          insert into journal.{table}_{name} select * from early;
        alter table journal.{table} attach partition journal.{table}_{name} for values from ('{first}') to ('{next}')"""
    words: dict[str, Any] = {"table": table, "name": f"{month:%Y_%m}", "first": month, "next": month_after(month)}
    for word, value in words.items():
        source = source.replace("{" + word + "}", str(value))
    await session.connection.execute(source)


_MONTHS = Statement("""
    select inhrelid::regclass::text as name from pg_inherits
    where inhparent in ('journal.events'::regclass, 'journal.handled'::regclass)""")


async def drop_months(session: Session, keep: timedelta) -> list[str]:
    """Drop the partitions whose last row is older than `keep`; returns their names."""
    oldest = (datetime.now(UTC) - keep).date()
    dropped = []
    for row in await session.all(_MONTHS):
        tail = row["name"][-7:]
        if tail.replace("_", "").isdigit() and month_after(date(int(tail[:4]), int(tail[5:]), 1)) <= oldest:
            await session.connection.execute(f"drop table {row['name']}")
            dropped.append(row["name"])
    return dropped
