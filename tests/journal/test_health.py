"""A journal that cannot read, or falls behind its stream, is not ready and says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from ops.settings import SystemSettings
from storage.journal import StreamEvent
from tests.support.system import System, eventually
from workers.journal.events import BATCH_SIZE, note_lag
from workers.registry import worker
from workers.runtime.messaging import topology


async def test_a_journal_without_its_stream_is_not_ready_until_it_is_back(journal: System) -> None:
    context = journal.contexts["journal"]
    channel = await journal.connection.channel()

    await channel.queue_delete(topology.STREAM)

    async def is_unready() -> bool:
        return not context.readiness()["work"]

    async def is_ready() -> bool:
        return all(context.readiness().values())

    await eventually(is_unready, within=30)
    assert "read_stream" in context.problems()
    await topology.apply(journal.settings.amqp_url.get_secret_value(), topology.plan([]))
    await eventually(is_ready, within=90)


def full_batch(age: timedelta) -> list[StreamEvent]:
    id, at = uuid4(), datetime.now(UTC) - age
    return [StreamEvent(offset, id, "topic", "context", id, None, "kim", at, "{}", []) for offset in range(BATCH_SIZE)]


async def test_a_journal_that_falls_behind_its_stream_is_not_ready_until_it_has_caught_up() -> None:
    context = worker("journal").runtime(SystemSettings())

    for _ in range(3):
        note_lag(context, full_batch(timedelta(minutes=2)))

    assert not context.readiness()["work"]
    assert context.problems()["event stream"] == "the journal is 120 s behind"
    note_lag(context, full_batch(timedelta(minutes=2))[1:])
    assert context.readiness()["work"]
