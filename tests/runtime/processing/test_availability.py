"""A worker whose database is unavailable: requests are answered at once, durable messages wait or are requeued."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from storage.database import Session
from tests.runtime.harness import DoWork, RecordNote, RuntimeHarness, ShowWork, WorkResult, record_effect
from tests.support.system import eventually
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.handlers import Handler
from workers.runtime.processing.tx import Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.worker import Worker


class UnavailableDatabase:
    """A database that fails every ping until `back` is set."""

    def __init__(self) -> None:
        self.pings = 0
        self.back = asyncio.Event()

    async def ping(self) -> None:
        self.pings += 1
        if not self.back.is_set():
            raise OSError("away")


async def test_the_database_is_available_again_once_it_answers_a_ping() -> None:
    database = UnavailableDatabase()
    availability = DatabaseAvailability("sample", database.ping)
    assert await availability.wait(0)
    availability.lost(OSError("away"))
    waiting = [asyncio.create_task(availability.wait(5)) for _ in range(10)]
    await eventually(lambda: asyncio.sleep(0, database.pings >= 2), every=0.01)
    assert not availability.is_available

    database.back.set()

    assert all(await asyncio.gather(*waiting))
    assert availability.is_available


async def test_many_lost_connections_start_one_ping_at_a_time() -> None:
    database = UnavailableDatabase()
    availability = DatabaseAvailability("sample", database.ping)

    for _ in range(50):
        availability.lost(OSError("away"))
    await asyncio.sleep(0)

    assert database.pings == 1
    availability.stop()


async def test_waiting_ends_with_its_time_limit() -> None:
    availability = DatabaseAvailability("sample", UnavailableDatabase().ping)
    availability.lost(OSError("away"))

    assert not await availability.wait(0.02)
    availability.stop()


# -- in a worker


async def do_work(command: DoWork, tx: Tx) -> WorkResult:
    await record_effect(tx, command.text)
    return WorkResult(text=command.text)


async def show_work(query: ShowWork, session: Session) -> WorkResult:
    await session.connection.fetchval("select 1")
    return WorkResult()


async def record_note(command: RecordNote, tx: Tx) -> None:
    await record_effect(tx, "redelivered" if tx.envelope.redelivered else "first")


@pytest.fixture
def worker(worker: Worker) -> Worker:
    for message, handler in ((DoWork, do_work), (ShowWork, show_work), (RecordNote, record_note)):
        worker.handles(message)(handler)
    return worker


async def is_available(context: WorkerRuntime) -> bool:
    return context.availability.is_available


@pytest.mark.parametrize("message", [ShowWork(), DoWork(text="now")], ids=["query", "command"])
async def test_requests_are_unavailable_at_once_and_served_again_when_the_database_is_back(
    harness: RuntimeHarness, worker: Worker, message: Any
) -> None:
    context = await harness.run(worker)
    assert (await harness.request(message)).kind == "done"
    await harness.database.cut()
    began = time.monotonic()

    replies = [await harness.request(message) for _ in range(5)]

    assert [reply.kind for reply in replies] == ["unavailable"] * 5
    assert time.monotonic() - began < 3
    await harness.database.mend()
    await eventually(lambda: is_available(context))
    assert (await harness.request(message)).kind == "done"
    assert len(await harness.effects()) == (2 if isinstance(message, DoWork) else 0)


async def test_a_worker_is_not_ready_while_its_database_is_unavailable(harness: RuntimeHarness, worker: Worker) -> None:
    context = await harness.run(worker)
    await harness.database.cut()
    await harness.request(ShowWork())

    assert context.readiness()["database"] is False

    await harness.database.mend()
    await eventually(lambda: is_available(context))
    assert all(context.readiness().values())


async def test_durable_messages_wait_for_the_database_and_take_effect_once(
    harness: RuntimeHarness, worker: Worker
) -> None:
    context = await harness.run(worker)
    await harness.database.cut()
    ids = [await harness.publish(RecordNote()) for _ in range(20)]

    async def held() -> bool:
        return len(context.deliveries) == 20 and not context.availability.is_available

    await eventually(held)
    await harness.database.mend()

    await harness.wait_until_idle()
    rows = await harness.rows("sample", "select id, state, failures from sample.inbox")
    assert {row["id"] for row in rows} == set(ids)
    assert {(row["state"], row["failures"]) for row in rows} == {("done", 0)}
    assert await harness.effects() == ["first"] * 20


async def test_a_message_that_waited_for_too_long_is_requeued_and_redelivered(
    harness: RuntimeHarness, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries: list[Any] = []
    process = WorkerRuntime.process

    async def counted(context: WorkerRuntime, handler: Handler, delivery: Delivery) -> Any:
        deliveries.append(delivery.raw.redelivered)
        return await process(context, handler, delivery)

    monkeypatch.setattr(WorkerRuntime, "process", counted)
    context = await harness.run(worker, database_patience_seconds=0.2)
    await harness.database.cut()
    id = await harness.publish(RecordNote())

    await eventually(lambda: asyncio.sleep(0, len(deliveries) >= 3))
    await harness.database.mend()
    await eventually(lambda: is_available(context))

    await harness.wait_until_idle()
    assert deliveries[0] is False
    assert all(deliveries[1:])
    assert await harness.effects(id) == ["redelivered"]


async def test_a_timer_that_became_due_meanwhile_fires_when_the_database_is_back(
    harness: RuntimeHarness, worker: Worker
) -> None:
    async def set_timer(command: DoWork, tx: Tx) -> WorkResult:
        tx.schedule(RecordNote())
        return WorkResult()

    worker.handlers[DoWork.topic].first = set_timer
    context = await harness.run(worker, scheduler_seconds=0.3)
    await harness.done(DoWork(), id=uuid4())
    await harness.database.cut()

    async def is_unavailable() -> bool:
        return not context.availability.is_available

    await eventually(is_unavailable)
    await harness.database.mend()

    await eventually(harness.effects)
    await harness.wait_until_idle()
    assert await harness.effects() == ["first"]


async def test_concurrent_requests_take_effect_once_while_connections_are_cut(
    harness: RuntimeHarness, worker: Worker
) -> None:
    """F20: connections are cut repeatedly, some of them during a COMMIT."""
    await harness.run(worker)
    commands = [(uuid4(), DoWork(text=str(number))) for number in range(150)]
    requests = [asyncio.create_task(harness.until_done(command, id=id)) for id, command in commands]

    for _ in range(6):
        done = sum(task.done() for task in requests)
        await eventually(lambda: asyncio.sleep(0, sum(t.done() for t in requests) > min(done, 149)), every=0.001)  # noqa: B023
        await harness.database.cut()
        await harness.database.mend()

    assert {reply.kind for reply in await asyncio.gather(*requests)} == {"done"}
    assert sorted(map(int, await harness.effects())) == list(range(150))


# -- a database that answers and cannot be written to


@pytest.fixture
async def read_only(harness: RuntimeHarness) -> AsyncIterator[Callable[[bool], Awaitable[None]]]:
    """Make all new sessions of the database read-only, as those of a standby are, or writable again."""
    connection = await asyncpg.connect(harness.settings.database_of("sample"))
    name = await connection.fetchval("select current_database()")

    async def change(to: bool) -> None:
        await connection.execute(f'alter database "{name}" set default_transaction_read_only to {to}')
        await harness.database.cut()
        await harness.database.mend()

    yield change
    await change(False)
    await connection.close()


async def test_an_idle_worker_is_not_ready_while_its_database_is_read_only(
    harness: RuntimeHarness, worker: Worker, read_only: Callable[[bool], Awaitable[None]]
) -> None:
    context = await harness.run(worker)

    await read_only(True)

    async def is_unavailable() -> bool:
        return not context.readiness()["database"]

    await eventually(is_unavailable, within=30)
    assert "ReadOnly" in context.problems()["database"]
    await read_only(False)
    await eventually(lambda: is_available(context), within=30)
    assert all(context.readiness().values())


async def test_durable_messages_wait_while_the_database_is_read_only_and_requests_are_refused(
    harness: RuntimeHarness, worker: Worker, read_only: Callable[[bool], Awaitable[None]]
) -> None:
    context = await harness.run(worker)
    await read_only(True)
    ids = [await harness.publish(RecordNote()) for _ in range(20)]

    async def held() -> bool:
        return len(context.deliveries) == 20 and not context.availability.is_available

    await eventually(held, within=30)
    reply = await harness.request(DoWork(text="now"))
    await read_only(False)
    await harness.wait_until_idle(within=30)

    assert reply.kind == "unavailable"
    rows = await harness.rows("sample", "select id, state, failures from sample.inbox")
    assert {row["id"] for row in rows} == set(ids)
    assert {(row["state"], row["failures"]) for row in rows} == {("done", 0)}
    assert len(await harness.effects()) == 20


async def test_a_worker_whose_inbox_is_gone_is_not_ready_and_says_why(harness: RuntimeHarness, worker: Worker) -> None:
    context = await harness.run(worker)
    await harness.rows("sample", "alter table sample.inbox rename to elsewhere")
    try:

        async def is_unavailable() -> bool:
            return not context.readiness()["database"]

        await eventually(is_unavailable, within=30)
        assert "sample.inbox" in context.problems()["database"]
    finally:
        await harness.rows("sample", "alter table sample.elsewhere rename to inbox")
    await eventually(lambda: is_available(context), within=30)
    await harness.done(DoWork())
