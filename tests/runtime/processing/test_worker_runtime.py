"""A replica that leaves, or is left, on a real broker."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import SecretStr

from tests.runtime.harness import Do, Done, Lab, Remember, effect
from tests.support.proxy import Proxy
from tests.support.system import eventually
from workers.runtime.processing.tx import Tx
from workers.runtime.worker import Worker


async def test_a_replica_that_leaves_takes_no_ask_with_it(lab: Lab, worker: Worker) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def do(command: Do, tx: Tx) -> Done:
        if command.text == "long":
            begun.set()
            await let_go.wait()
        return Done(text=command.text)

    worker.handles(Do)(do)
    leaving = await lab.run(worker)
    long = asyncio.create_task(lab.ask(Do(text="long")))
    await begun.wait()
    await lab.run(worker, replica=" that stays")

    finishing = asyncio.create_task(leaving.consumers.finish(10.0))
    replies = [await lab.ask(Do(text=f"{number}")) for number in range(10)]
    assert not finishing.done()
    let_go.set()

    assert [reply.kind for reply in replies] == ["done"] * 10
    assert (await long).kind == "done"
    await finishing


async def test_a_handler_whose_channel_breaks_ends_what_it_began(lab: Lab, worker: Worker) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def remember(command: Remember, tx: Tx) -> None:
        try:
            await effect(tx, command.text)
            begun.set()
            await let_go.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("well")

    worker.handles(Remember)(remember)
    context: Any = await lab.run(worker)
    id = await lab.publish(Remember(text="once"))
    await begun.wait()

    await context.consumers.broker._connection.transport.connection.close(ConnectionError("cut"))
    let_go.set()
    await lab.wait_until_idle()

    assert ended[0] == "well"
    assert await lab.effects(id) == ["once"]


async def test_a_replica_leaves_while_the_broker_is_away(lab: Lab, worker: Worker) -> None:
    async def do(command: Do, tx: Tx) -> Done:
        return Done()

    broker = await Proxy(lab.amqp_url).mend()
    worker.handles(Do)(do)
    leaving = await lab.run(worker, amqp_url=SecretStr(broker.url))

    async def is_away() -> bool:
        return not leaving.bus.connected

    await broker.cut()
    await eventually(is_away)
    try:
        async with asyncio.timeout(10):
            await leaving.stop()
    finally:
        await broker.mend()
    assert lab.contexts.pop("lab") is leaving
