"""The handlers of the sample context; a test may replace each of them."""

from __future__ import annotations

import asyncio
from typing import Any

from storage.database import Session, Statement
from tests.runtime.harness import (
    Decide,
    DoWork,
    RecordNote,
    RuntimeHarness,
    ShowWork,
    WorkDone,
    WorkResult,
    record_effect,
)
from workers.runtime.messaging import envelope, topology
from workers.runtime.messaging.exchanges import REPLIES
from workers.runtime.processing.tx import RetryableNotFound, Tx
from workers.runtime.worker import Worker

KNOWN = Statement("select count(*) from sample.effects where what = :what")


async def do_work(command: DoWork, tx: Tx) -> WorkResult:
    await record_effect(tx, command.text)
    tx.publish(WorkDone(version=1, text=command.text))
    return WorkResult(text=command.text)


async def record_note(command: RecordNote, tx: Tx) -> None:
    await record_effect(tx, command.text)


async def show_work(query: ShowWork, session: Session) -> WorkResult:
    if query.text and not await session.value(KNOWN, what=query.text):
        raise RetryableNotFound
    return WorkResult(text=query.text)


def add_handlers(worker: Worker) -> Worker:
    """Add the handlers of every message of the sample context to a worker."""
    worker.handles(DoWork)(do_work)
    worker.handles(ShowWork)(show_work)
    worker.handles(RecordNote)(record_note)
    return worker


async def serve_decisions(harness: RuntimeHarness, let_go: asyncio.Event, begun: asyncio.Event) -> None:
    """Serve the context `decisions`: set `begun` when a request arrives, and reply once `let_go` is set."""
    other = Worker("decisions", resolves_dead_letters=False)
    other.handles(Decide)(do_work)
    await topology.apply(harness.amqp_url, topology.plan([other]))
    channel = await harness.channel()
    queue = await channel.get_queue(f"{Decide.topic}@decisions")

    async def decide(query: Any) -> None:
        begun.set()
        await let_go.wait()
        await harness.broker.publish(
            b'{"text": "yes"}',
            routing_key=query.reply_to.partition("|")[0],
            exchange=envelope.exchange(REPLIES),
            mandatory=False,
            correlation_id=query.correlation_id,
            message_type="done",
        )

    await queue.consume(decide, no_ack=True)
