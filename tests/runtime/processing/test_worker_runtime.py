"""A worker stops: its open requests are finished, also while the broker is unavailable."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import SecretStr

from tests.runtime.harness import DoWork, RecordNote, RuntimeHarness, WorkResult, record_effect
from tests.support.proxy import Proxy
from tests.support.system import eventually
from workers.runtime.processing.tx import Tx
from workers.runtime.worker import Worker


async def test_a_stopping_replica_finishes_its_requests_and_accepts_no_new_ones(
    harness: RuntimeHarness, worker: Worker
) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def do_work(command: DoWork, tx: Tx) -> WorkResult:
        if command.text == "long":
            begun.set()
            await let_go.wait()
        return WorkResult(text=command.text)

    worker.handles(DoWork)(do_work)
    leaving = await harness.run(worker)
    long = asyncio.create_task(harness.request(DoWork(text="long")))
    await begun.wait()
    await harness.run(worker, replica=" that stays")

    finishing = asyncio.create_task(leaving.finish())
    replies = [await harness.request(DoWork(text=f"{number}")) for number in range(10)]
    assert not finishing.done()
    let_go.set()

    assert [reply.kind for reply in replies] == ["done"] * 10
    assert (await long).kind == "done"
    await finishing


async def test_a_handler_whose_channel_was_closed_runs_to_its_end(harness: RuntimeHarness, worker: Worker) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def record_note(command: RecordNote, tx: Tx) -> None:
        try:
            await record_effect(tx, command.text)
            begun.set()
            await let_go.wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        ended.append("well")

    worker.handles(RecordNote)(record_note)
    context: Any = await harness.run(worker)
    id = await harness.publish(RecordNote(text="once"))
    await begun.wait()

    await context.broker._connection.transport.connection.close(ConnectionError("cut"))
    let_go.set()
    await harness.wait_until_idle()

    assert ended[0] == "well"
    assert await harness.effects(id) == ["once"]


async def test_a_replica_stops_while_the_broker_is_unavailable(harness: RuntimeHarness, worker: Worker) -> None:
    async def do_work(command: DoWork, tx: Tx) -> WorkResult:
        return WorkResult()

    broker = await Proxy(harness.amqp_url).mend()
    worker.handles(DoWork)(do_work)
    leaving = await harness.run(worker, amqp_url=SecretStr(broker.url))

    async def is_away() -> bool:
        return not leaving.broker.is_usable

    await broker.cut()
    await eventually(is_away)
    try:
        async with asyncio.timeout(10):
            await leaving.stop()
    finally:
        await broker.mend()
    assert harness.contexts.pop("sample") is leaving
