"""While the database is away: what waits, what is said at once, what goes back to its queue."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from storage.database import Session
from tests.runtime.harness import Do, Done, Lab, Look, Remember, effect
from tests.support.system import eventually
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.tx import Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.worker import Worker


class Away:
    """A database that is away until it is told to be back."""

    def __init__(self) -> None:
        self.pings = 0
        self.back = asyncio.Event()

    async def ping(self) -> None:
        self.pings += 1
        if not self.back.is_set():
            raise OSError("away")


async def test_a_availability_opens_when_the_database_answers_again() -> None:
    database = Away()
    availability = DatabaseAvailability("lab", database)
    assert await availability.wait(0)
    availability.lost(OSError("away"))
    waiting = [asyncio.create_task(availability.wait(5)) for _ in range(10)]
    await eventually(lambda: asyncio.sleep(0, database.pings >= 2), every=0.01)
    assert not availability.is_available

    database.back.set()

    assert all(await asyncio.gather(*waiting))
    assert availability.is_available


async def test_a_availability_that_is_shut_by_many_asks_once_at_a_time() -> None:
    database = Away()
    availability = DatabaseAvailability("lab", database)

    for _ in range(50):
        availability.lost(OSError("away"))
    await asyncio.sleep(0)

    assert database.pings == 1
    availability.stop()


async def test_whoever_has_no_patience_is_told_so() -> None:
    availability = DatabaseAvailability("lab", Away())
    availability.lost(OSError("away"))

    assert not await availability.wait(0.02)
    availability.stop()


# -- in a context


async def do(command: Do, tx: Tx) -> Done:
    await effect(tx, command.text)
    return Done(text=command.text)


async def look(query: Look, session: Session) -> Done:
    await session.connection.fetchval("select 1")
    return Done()


async def remember(command: Remember, tx: Tx) -> None:
    await effect(tx, "redelivered" if tx.envelope.redelivered else "first")


@pytest.fixture
def worker(worker: Worker) -> Worker:
    for message, handler in ((Do, do), (Look, look), (Remember, remember)):
        worker.handles(message)(handler)
    return worker


async def is_open(context: WorkerRuntime) -> bool:
    return context.availability.is_available


@pytest.mark.parametrize("message", [Look(), Do(text="now")], ids=["question", "command"])
async def test_what_is_asked_is_unavailable_at_once_and_served_when_it_is_back(
    lab: Lab, worker: Worker, message: Any
) -> None:
    context = await lab.run(worker)
    assert (await lab.ask(message)).kind == "done"
    await lab.database.cut()
    asked = time.monotonic()

    replies = [await lab.ask(message) for _ in range(5)]

    assert [reply.kind for reply in replies] == ["unavailable"] * 5
    assert time.monotonic() - asked < 3
    await lab.database.mend()
    await eventually(lambda: is_open(context))
    assert (await lab.ask(message)).kind == "done"
    assert len(await lab.effects()) == (2 if isinstance(message, Do) else 0)


async def test_it_is_not_ready_while_its_database_is_away(lab: Lab, worker: Worker) -> None:
    context = await lab.run(worker)
    await lab.database.cut()
    await lab.ask(Look())

    assert context.readiness()["database"] is False

    await lab.database.mend()
    await eventually(lambda: is_open(context))
    assert all(context.readiness().values())


async def test_what_is_told_waits_and_is_done_once(lab: Lab, worker: Worker) -> None:
    context = await lab.run(worker)
    await lab.database.cut()
    ids = [await lab.publish(Remember()) for _ in range(20)]

    async def held() -> bool:
        return len(context.consumers.at_work) == 20 and not context.availability.is_available

    await eventually(held)
    await lab.database.mend()

    await lab.wait_until_idle()
    rows = await lab.rows("lab", "select id, state, failures from lab.inbox")
    assert {row["id"] for row in rows} == set(ids)
    assert {(row["state"], row["failures"]) for row in rows} == {("done", 0)}
    assert await lab.effects() == ["first"] * 20


async def test_what_was_held_for_too_long_is_given_back_and_comes_again(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliveries: list[Any] = []
    deliver = WorkerRuntime.deliver

    async def counted(context: WorkerRuntime, raw: Any, handler: Any) -> None:
        deliveries.append(raw.redelivered)
        await deliver(context, raw, handler)

    monkeypatch.setattr(WorkerRuntime, "deliver", counted)
    context = await lab.run(worker, database_patience_seconds=0.2)
    await lab.database.cut()
    id = await lab.publish(Remember())

    await eventually(lambda: asyncio.sleep(0, len(deliveries) >= 3))
    await lab.database.mend()
    await eventually(lambda: is_open(context))

    await lab.wait_until_idle()
    assert deliveries[0] is False
    assert all(deliveries[1:])
    assert await lab.effects(id) == ["redelivered"]


async def test_a_timer_that_comes_due_meanwhile_fires_when_it_is_back(lab: Lab, worker: Worker) -> None:
    async def set_timer(command: Do, tx: Tx) -> Done:
        tx.schedule(Remember())
        return Done()

    worker.handlers[Do.topic].first = set_timer
    context = await lab.run(worker, tick_seconds=0.3)
    await lab.done(Do(), id=uuid4())
    await lab.database.cut()

    async def is_shut() -> bool:
        return not context.availability.is_available

    await eventually(is_shut)
    await lab.database.mend()

    await eventually(lab.effects)
    await lab.wait_until_idle()
    assert await lab.effects() == ["first"]


async def test_a_crowd_that_was_cut_off_in_the_middle_has_its_effect_once(lab: Lab, worker: Worker) -> None:
    """F20: connections broken again and again, COMMITs among what they carried."""
    await lab.run(worker)
    wishes = [(uuid4(), Do(text=str(number))) for number in range(150)]
    asks = [asyncio.create_task(lab.until_done(wish, id=id)) for id, wish in wishes]

    for _ in range(6):
        done = sum(task.done() for task in asks)
        await eventually(lambda: asyncio.sleep(0, sum(t.done() for t in asks) > min(done, 149)), every=0.001)  # noqa: B023
        await lab.database.cut()
        await lab.database.mend()

    assert {reply.kind for reply in await asyncio.gather(*asks)} == {"done"}
    assert sorted(map(int, await lab.effects())) == list(range(150))
