"""The journal reads on: events and dead letters that nobody can read are kept, or named as not kept."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from contracts.journal import ListDeadLetters, MarkSet
from tests.support.poison import poison
from tests.support.system import System, eventually
from workers.journal import dead_letters, events
from workers.runtime.messaging.topology import DEAD_QUEUE, STREAM
from workers.runtime.observability.log_events import EVENT_NOT_STORED


async def send_all(system: System, queue: str) -> int:
    channel = await system.connection.channel()
    for send, _ in poison().values():
        await send(channel, queue)
    await channel.close()
    return len(poison())


async def marked(system: System) -> bool:
    """Publish a mark, and wait until the journal has kept it."""
    mark = uuid4()
    await system.publish(MarkSet(mark_id=mark, version=1), id=mark)

    async def is_kept() -> bool:
        return bool(await system.rows("journal", "select from journal.events where message_id = $1", mark))

    return bool(await eventually(is_kept, within=30))


async def test_events_that_nobody_can_read_are_kept_and_the_reader_goes_on(journal: System) -> None:
    sent = await send_all(journal, STREAM)

    assert await marked(journal)

    assert (await journal.one("journal", "select count(*) from journal.events"))[0] == sent + 1
    assert all(journal.contexts["journal"].readiness().values())


async def test_an_event_that_the_database_refuses_leaves_its_place_and_the_reader_goes_on(
    journal: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = events.store.append_events

    async def refuse_some(session: Any, stream: str, reached: Any, new: list[Any]) -> Any:
        if any(event.topic == "refused" for event in new):
            await session.connection.execute("select 1 / 0")
        return await append(session, stream, reached, new)

    monkeypatch.setattr(events.store, "append_events", refuse_some)
    channel = await journal.connection.channel()
    send, _ = poison()["5000 nested arrays"]
    with capture_logs() as logs:
        assert await marked(journal)
        await send(channel, STREAM, type="refused")
        assert await marked(journal)

    topics = [
        row["topic"] for row in await journal.rows("journal", "select topic from journal.events order by position")
    ]
    assert topics == [MarkSet.topic, events.NOT_STORED, MarkSet.topic]
    assert [entry["topic"] for entry in logs if entry["event"] == EVENT_NOT_STORED] == ["refused"]


async def filed(system: System) -> list[str]:
    return [letter["error"] for letter in (await system.done(ListDeadLetters(limit=50)))["items"]]


async def test_dead_letters_that_nobody_can_read_are_filed_with_a_reason(journal: System) -> None:
    sent = await send_all(journal, DEAD_QUEUE)

    async def all_filed() -> bool:
        return len(await filed(journal)) == sent

    await eventually(all_filed, within=30)
    assert all(await filed(journal))


async def test_a_dead_letter_that_the_database_refuses_is_filed_by_its_digest(
    journal: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = dead_letters.store.file_dead_letters

    async def refuse_some(session: Any, new: list[Any]) -> None:
        if any("nested" in letter.body or letter.body.startswith("[[") for letter in new):
            raise RecursionError
        await file(session, new)

    monkeypatch.setattr(dead_letters.store, "file_dead_letters", refuse_some)
    sent = await send_all(journal, DEAD_QUEUE)

    async def all_filed() -> bool:
        return len(await filed(journal)) == sent

    await eventually(all_filed, within=30)
    assert [error for error in await filed(journal) if error.startswith("cannot be stored")] == [
        "cannot be stored: RecursionError"
    ]
