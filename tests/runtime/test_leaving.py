"""A replica that leaves, on a real broker."""

from __future__ import annotations

import asyncio

from tests.runtime.lab import Do, Done, Lab
from workers.runtime.tx import Tx
from workers.runtime.worker import Worker


async def test_a_replica_that_leaves_takes_no_ask_with_it(lab: Lab, worker: Worker) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def do(command: Do, tx: Tx) -> Done:
        if command.text == "long":
            begun.set()
            await let_go.wait()
        return Done(text=command.text)

    worker.on(Do)(do)
    leaving = await lab.run(worker)
    long = asyncio.create_task(lab.ask(Do(text="long")))
    await begun.wait()
    await lab.run(worker, replica=" that stays")

    finishing = asyncio.create_task(leaving.hearing.finish(10.0))
    replies = [await lab.ask(Do(text=f"{number}")) for number in range(10)]
    assert not finishing.done()
    let_go.set()

    assert [reply.kind for reply in replies] == ["done"] * 10
    assert (await long).kind == "done"
    await finishing
