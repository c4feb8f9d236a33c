"""What a lab's worker does unless a test wants something else."""

from __future__ import annotations

import asyncio
from typing import Any

from storage.database import Session, Statement
from tests.runtime.harness import Decide, Do, Done, Happened, Lab, Look, Remember, effect
from tests.support.messages import as_message
from workers.runtime.messaging import envelope, topology
from workers.runtime.messaging.bus import REPLIES
from workers.runtime.processing.tx import RetryableNotFound, Tx
from workers.runtime.worker import Worker

KNOWN = Statement("select count(*) from lab.effects where what = :what")


async def do(command: Do, tx: Tx) -> Done:
    await effect(tx, command.text)
    tx.publish(Happened(version=1, text=command.text))
    return Done(text=command.text)


async def remember(command: Remember, tx: Tx) -> None:
    await effect(tx, command.text)


async def look(query: Look, session: Session) -> Done:
    if query.text and not await session.value(KNOWN, what=query.text):
        raise RetryableNotFound
    return Done(text=query.text)


def does_it_all(worker: Worker) -> Worker:
    """Does, looks and remembers."""
    worker.handles(Do)(do)
    worker.handles(Look)(look)
    worker.handles(Remember)(remember)
    return worker


async def neighbour(lab: Lab, let_go: asyncio.Event, begun: asyncio.Event) -> None:
    """Another context, which decides once it is let go."""
    other = Worker("neighbour", resolves_dead_letters=False)
    other.handles(Decide)(do)
    await topology.apply(lab.amqp_url, topology.plan([other]))
    channel = await lab.channel()
    replies = await channel.get_exchange(REPLIES, ensure=False)
    queue = await channel.get_queue(f"{Decide.topic}@neighbour")

    async def decide(query: Any) -> None:
        begun.set()
        await let_go.wait()
        answer = envelope.reply("done", b'{"text": "yes"}', query.correlation_id, "neighbour", replayed=False)
        await replies.publish(as_message(answer), routing_key=query.reply_to.partition("|")[0])

    await queue.consume(decide, no_ack=True)
