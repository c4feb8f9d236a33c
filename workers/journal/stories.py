"""What was handled and asked, and the story of one thing out of everything that is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from contracts.journal import (
    FindMark,
    KeptEvents,
    Marked,
    MarkSet,
    ReadEvents,
    Recorded,
    RecordHandled,
    Story,
    StoryEntry,
    TellStory,
)
from storage import journal as store
from storage import journal_status as system
from storage.database import Session
from workers.journal.declared import journal
from workers.runtime.processing.tx import RetryableNotFound, Tx

READ_AT_MOST = 5000


@journal.handles(RecordHandled)
async def record_handled(command: RecordHandled, tx: Tx) -> Recorded:
    if command.standing is not None:
        await system.stand(tx, command.standing)
    return Recorded(entries=await store.record(tx, tx.envelope.body.decode()))


@journal.handles(TellStory)
async def tell_story(query: TellStory, session: Session) -> Story:
    story_ids = await store.find_stories(session, query.id)
    if not story_ids:
        raise RetryableNotFound(id=str(query.id))
    return Story(story_ids=story_ids, entries=in_order(await store.story_entries(session, story_ids)))


@journal.handles(ReadEvents)
async def read_events(query: ReadEvents, session: Session) -> KeptEvents:
    limit = max(1, min(query.limit, READ_AT_MOST))
    return KeptEvents.model_construct(events=await store.read_events(session, query.topics, query.after, limit))


@journal.handles(FindMark)
async def find_mark(query: FindMark, session: Session) -> Marked:
    return Marked(position=await store.find_mark(session, MarkSet.topic, query.mark_id))


def in_order(entries: list[StoryEntry]) -> list[StoryEntry]:
    """By time, and nothing before what caused it, whatever the clocks say."""
    begun: dict[UUID, datetime] = {}
    causes: dict[UUID, UUID] = {}
    for entry in entries:
        if entry.message_id is not None:
            begun[entry.message_id] = min(entry.at, begun.get(entry.message_id, entry.at))
            if entry.causation_id is not None:
                causes[entry.message_id] = entry.causation_id

    def place(entry: StoryEntry) -> tuple[datetime, int, datetime]:
        at, depth, id = entry.at, 0, entry.message_id
        seen: set[UUID] = set()
        while id is not None and id not in seen:
            seen.add(id)
            at = max(at, begun.get(id, _LONG_AGO))
            depth, id = depth + 1, causes.get(id)
        return at, depth, entry.at

    return sorted(entries, key=place)


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
