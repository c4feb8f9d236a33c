"""Rebuilding a view from the journal while it keeps answering.

`building` is set first, so that every later batch writes both generations. A mark is published after that: once the
journal has kept it, everything published before `building` was set lies before it. Then the events up to the mark are
read and applied to the new generation, in any order and as often as need be, and the generations are swapped in one
transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
import structlog

from contracts.base import CATALOGUE, Query
from contracts.journal import FindMark, MarkPosition, MarkSet, ReadEvents, StoredEvent, StoredEvents
from contracts.outcomes import Outcome
from storage.views import ViewDatabase
from workers.runtime.messaging import envelope
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import Unreadable, read_body
from workers.runtime.messaging.rpc import RpcClient, RpcRequest
from workers.runtime.observability.log_events import EVENT_SKIPPED
from workers.runtime.projections.view import View, apply

log = structlog.get_logger()

PAGE = 1000
MARK_SECONDS = 60.0


class RebuildFailed(Exception):
    """One sentence for an operator; the view answers from its old generation as before."""


async def rebuild(view: View, store: ViewDatabase, broker: Broker, rpc: RpcClient) -> int:
    """Build a new generation and swap it in; returns how many events were applied. Raises RebuildFailed."""
    generation = await _begin(store)
    mark = await _mark(broker, rpc)
    applied = 0
    async for page in _events(view, rpc, mark):
        applied += len(page)
        await apply(view, store, page, only=generation)
    await _swap(store, generation)
    return applied


async def _begin(store: ViewDatabase) -> int:
    """Have every later batch write a new, empty generation, too."""
    generations = store.tables.generations
    async with store.transaction() as connection:
        row = (await connection.execute(sa.select(generations).with_for_update())).one()
        generation: int = max(row.current, row.building or 0) + 1
        if row.building is not None:
            await store.delete_generation(connection, row.building)
        await store.delete_generation(connection, generation)
        await connection.execute(sa.update(generations).values(building=generation))
    return generation


async def _mark(broker: Broker, rpc: RpcClient) -> int:
    """Publish a mark, and wait for the position at which the journal keeps it."""
    mark = MarkSet(mark_id=uuid4(), version=1)
    await broker.publish(
        mark.model_dump_json().encode(),
        routing_key=mark.topic,
        exchange=envelope.exchange(mark.exchange),
        persist=True,
        headers=envelope.durable_headers(mark.mark_id, None, "operator"),
        message_id=str(mark.mark_id),
        message_type=mark.topic,
    )
    deadline = time.monotonic() + MARK_SECONDS
    while time.monotonic() < deadline:
        found: MarkPosition = await _query(rpc, FindMark(mark_id=mark.mark_id))
        if found.position is not None:
            return found.position
        await asyncio.sleep(0.1)
    raise RebuildFailed(f"the journal has not kept a mark within {MARK_SECONDS:.0f} s: is it running?")


async def _events(view: View, rpc: RpcClient, up_to: int) -> AsyncIterator[list[Any]]:
    after, topics = 0, sorted(view.projections)
    while after < up_to:
        kept: StoredEvents = await _query(rpc, ReadEvents(topics=topics, after=after, limit=PAGE))
        if not kept.events:
            return
        yield [event for stored in kept.events if (event := _readable(stored)) is not None]
        after = kept.events[-1].position


def _readable(stored: StoredEvent) -> Any:
    """An event of the journal; None for one that the view has refused before, as a dead letter."""
    try:
        return read_body(CATALOGUE[stored.topic], stored.body.encode())
    except Unreadable as reason:
        log.warning(EVENT_SKIPPED, topic=stored.topic, position=stored.position, reason=str(reason))
        return None


async def _query(rpc: RpcClient, query: Query[Any]) -> Any:
    request = RpcRequest(
        topic=query.topic,
        exchange=query.exchange,
        body=query.model_dump_json().encode(),
        message_id=uuid4(),
        actor="operator",
        story_id=uuid4(),
    )
    reply = await rpc.call(request, within=20.0)
    if reply.kind is not Outcome.DONE:
        raise RebuildFailed(f"the journal did not answer {query.topic}: {reply.kind}")
    return type(query).answer.model_validate_json(reply.body)


async def _swap(store: ViewDatabase, generation: int) -> None:
    generations = store.tables.generations
    async with store.transaction() as connection:
        row = (await connection.execute(sa.select(generations).with_for_update())).one()
        if row.building != generation:
            raise RebuildFailed("another rebuild has begun since")
        await connection.execute(sa.update(generations).values(current=generation, building=None))
        await store.delete_generation(connection, row.current)
