"""What a lab's worker does unless a test wants something else."""

from __future__ import annotations

import asyncio
from typing import Any

from storage.database import Session, Statement
from tests.runtime.lab import Decide, Do, Done, Happened, Lab, Look, Remember, effect
from tests.support.messages import as_message
from workers.runtime.messaging import envelope, topology
from workers.runtime.messaging.bus import REPLIES
from workers.runtime.processing.tx import NotKnownYet, Tx
from workers.runtime.worker import Worker

KNOWN = Statement("select count(*) from lab.effects where what = :what")


async def do(command: Do, tx: Tx) -> Done:
    await effect(tx, command.text)
    tx.publish(Happened(version=1, text=command.text))
    return Done(text=command.text)


async def remember(command: Remember, tx: Tx) -> None:
    await effect(tx, command.text)


async def look(question: Look, session: Session) -> Done:
    if question.text and not await session.value(KNOWN, what=question.text):
        raise NotKnownYet
    return Done(text=question.text)


def does_it_all(worker: Worker) -> Worker:
    """Does, looks and remembers."""
    worker.on(Do)(do)
    worker.on(Look)(look)
    worker.on(Remember)(remember)
    return worker


async def neighbour(lab: Lab, let_go: asyncio.Event, begun: asyncio.Event) -> None:
    """Another context, which decides once it is let go."""
    other = Worker("neighbour", takes_up=False)
    other.on(Decide)(do)
    await topology.apply(lab.amqp_url, topology.plan([other]))
    channel = await lab.channel()
    replies = await channel.get_exchange(REPLIES, ensure=False)
    queue = await channel.get_queue(f"{Decide.topic}@neighbour")

    async def decide(question: Any) -> None:
        begun.set()
        await let_go.wait()
        answer = envelope.reply("done", b'{"text": "yes"}', question.correlation_id, "neighbour", replayed=False)
        await replies.publish(as_message(answer), routing_key=question.reply_to.partition("|")[0])

    await queue.consume(decide, no_ack=True)
