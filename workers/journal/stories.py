"""Reports of handled messages, stories (timelines of one entity) and the event feed for rebuilds."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from contracts.journal import (
    FindMark,
    MarkPosition,
    MarkSet,
    ReadEvents,
    Recorded,
    RecordHandled,
    StoredEvents,
    Story,
    StoryEntry,
    StoryNotFound,
    TellStory,
)
from storage import journal as store
from storage import journal_status
from storage.database import Session
from workers.journal.base import journal
from workers.runtime.processing.tx import Retryable, Tx

MAX_EVENTS = 5000


@journal.handles(RecordHandled)
async def record_handled(command: RecordHandled, tx: Tx) -> Recorded:
    if command.standing is not None:
        await journal_status.save_process_status(tx, command.standing)
    return Recorded(entries=await store.record_handled(tx, tx.envelope.body.decode()))


@journal.handles(TellStory)
async def tell_story(query: TellStory, session: Session) -> Story:
    story_ids = await store.find_stories(session, query.id)
    if not story_ids:
        raise Retryable(StoryNotFound(id=str(query.id)))
    return Story(story_ids=story_ids, entries=causal_order(await store.story_entries(session, story_ids)))


@journal.handles(ReadEvents)
async def read_events(query: ReadEvents, session: Session) -> StoredEvents:
    limit = max(1, min(query.limit, MAX_EVENTS))
    return StoredEvents.model_construct(events=await store.read_events(session, query.topics, query.after, limit))


@journal.handles(FindMark)
async def find_mark(query: FindMark, session: Session) -> MarkPosition:
    return MarkPosition(position=await store.find_mark(session, MarkSet.topic, query.mark_id))


def causal_order(entries: list[StoryEntry]) -> list[StoryEntry]:
    """Order entries by time, but never an entry before its cause, even if the clocks of two hosts differ."""
    started: dict[UUID, datetime] = {}
    causes: dict[UUID, UUID] = {}
    for entry in entries:
        if entry.message_id is not None:
            started[entry.message_id] = min(entry.at, started.get(entry.message_id, entry.at))
            if entry.causation_id is not None:
                causes[entry.message_id] = entry.causation_id

    def sort_key(entry: StoryEntry) -> tuple[datetime, int, datetime]:
        at, depth, id = entry.at, 0, entry.message_id
        seen: set[UUID] = set()
        while id is not None and id not in seen:
            seen.add(id)
            at = max(at, started.get(id, _EARLIEST))
            depth, id = depth + 1, causes.get(id)
        return at, depth, entry.at

    return sorted(entries, key=sort_key)


_EARLIEST = datetime.min.replace(tzinfo=UTC)
