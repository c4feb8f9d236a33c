"""Every delivery ends, on a real broker and database: faults while it is handled, and messages that nobody can read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import aio_pika.exceptions
import asyncpg
import pytest
from sqlalchemy.exc import OperationalError

from storage.inbox import Inbox
from tests.runtime.harness import DoWork, RecordNote, RuntimeHarness, WorkResult, record_effect
from tests.runtime.sample_handlers import add_handlers
from tests.support.poison import poison
from tests.support.system import eventually
from workers.runtime.messaging import delivery
from workers.runtime.messaging.topology import DEAD_QUEUE
from workers.runtime.processing.tx import Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.worker import Worker

DURABLE, REQUESTS = f"{RecordNote.topic}@sample", f"{DoWork.topic}@sample"

ERRORS: dict[str, Callable[[], BaseException]] = {
    "a constraint": partial(asyncpg.UniqueViolationError, "duplicate key"),
    "a deadlock": partial(asyncpg.DeadlockDetectedError, "deadlock detected"),
    "a changed schema": partial(asyncpg.InvalidCachedStatementError, "cached statement plan is invalid"),
    "a lost connection": partial(asyncpg.ConnectionDoesNotExistError, "connection was closed"),
    "a misused connection": partial(asyncpg.InterfaceError, "another operation is in progress"),
    "too many connections": partial(asyncpg.TooManyConnectionsError, "sorry, too many clients"),
    "an error of SQLAlchemy": partial(OperationalError, "select 1", {}, ValueError("broken")),
    "an error of the broker": partial(aio_pika.exceptions.ChannelClosed, 404, "NOT_FOUND"),
    "a reset": ConnectionResetError,
    "no time left": TimeoutError,
    "no stack left": RecursionError,
    "no memory left": MemoryError,
    "wrong bytes": partial(UnicodeDecodeError, "utf-8", b"\xff", 0, 1, "invalid start byte"),
    "a mistake": partial(KeyError, "name"),
    "a cancellation": asyncio.CancelledError,
}


class Faults:
    """Raises an error for each of some messages where a test says, until it is removed."""

    def __init__(self) -> None:
        self.by_message: dict[UUID, Callable[[], BaseException]] = {}
        self.raised: Counter[UUID] = Counter()
        self.removed = False

    def reach(self, *ids: UUID) -> None:
        for id in ids:
            if not self.removed and id in self.by_message:
                self.raised[id] += 1
                raise self.by_message[id]()


def break_handler(faults: Faults, worker: Worker, patch: pytest.MonkeyPatch) -> None:
    async def record_note(command: RecordNote, tx: Tx) -> None:
        await record_effect(tx, command.text)
        faults.reach(tx.id)

    async def do_work(command: DoWork, tx: Tx) -> WorkResult:
        await record_effect(tx, command.text)
        faults.reach(tx.id)
        return WorkResult()

    worker.handlers[RecordNote.topic].first = record_note
    worker.handlers[DoWork.topic].first = do_work


def break_finish(faults: Faults, worker: Worker, patch: pytest.MonkeyPatch) -> None:
    finish = Inbox.finish

    async def broken(inbox: Inbox, session: Any, steps: Any) -> bool:
        faults.reach(*(step.claim.id for step in steps))
        return await finish(inbox, session, steps)

    patch.setattr(Inbox, "finish", broken)


def fail_and_break(name: str, faults: Faults, worker: Worker, patch: pytest.MonkeyPatch) -> None:
    """Have the handlers fail with a mistake, and break what the runtime does about it."""
    mistakes = Faults()
    break_handler(mistakes, worker, patch)
    method = getattr(Inbox, name)

    async def broken(inbox: Inbox, session: Any, key: Any, *more: Any) -> Any:
        faults.reach(key if isinstance(key, UUID) else key.id)
        return await method(inbox, session, key, *more)

    def reach(*ids: UUID) -> None:
        if not faults.removed and any(id in faults.by_message for id in ids):
            raise ZeroDivisionError("a bug")

    mistakes.reach = reach  # type: ignore[method-assign]
    patch.setattr(Inbox, name, broken)


PLACES: dict[str, Callable[[Faults, Worker, pytest.MonkeyPatch], None]] = {
    "handler.first": break_handler,
    "inbox.finish": break_finish,
    "inbox.find": partial(fail_and_break, "find"),
    "inbox.save_failure": partial(fail_and_break, "save_failure"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_every_delivery_ends_and_takes_effect_once_when_the_fault_is_gone(
    harness: RuntimeHarness, worker: Worker, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(delivery, "FIRST_DELAY", 0.1)
    monkeypatch.setattr(delivery, "LONGEST_DELAY", 0.5)
    faults = Faults()
    add_handlers(worker)
    PLACES[place](faults, worker, monkeypatch)
    context = await harness.run(worker, retry_seconds=(0.2,) * 1000)
    notes = {uuid4(): name for name in ERRORS}
    requests = {uuid4(): name for name in ERRORS}
    faults.by_message = {id: ERRORS[name] for some in (notes, requests) for id, name in some.items()}

    await asyncio.gather(*(harness.publish(RecordNote(text=name), id=id) for id, name in notes.items()))
    replies = await asyncio.gather(
        *(harness.request(DoWork(text=name), id=id, within=1.0) for id, name in requests.items())
    )
    await eventually(lambda: asyncio.sleep(0, all(faults.raised[id] for id in notes)), within=30)
    assert all(reply.kind in ("unavailable", "unknown", "still_running") for reply in replies)
    assert await harness.effects() == []
    faults.removed = True

    async def unfinished() -> dict[str, Any]:
        rows = await harness.rows("sample", "select id, state, error, due_at - now() as due from sample.inbox")
        states = {row["id"]: row for row in rows}
        return {name: states.get(id) for id, name in notes.items() if id not in states or states[id]["state"] != "done"}

    async def all_are_done() -> bool:
        return not await unfinished()

    try:
        await eventually(all_are_done, within=30)
    except AssertionError:
        raise AssertionError(f"{await unfinished()} {context.deliveries} {context.problems()}") from None
    answers = await asyncio.gather(
        *(harness.until_done(DoWork(text=name), id=id, within=30) for id, name in requests.items())
    )
    await harness.wait_until_idle(within=30)

    assert {answer.kind for answer in answers} == {"done"}
    assert sorted(await harness.effects()) == sorted([*notes.values(), *requests.values()])
    await assert_all_have_ended(harness, context)


async def assert_all_have_ended(harness: RuntimeHarness, context: WorkerRuntime) -> None:
    """Stop a context: what was not ended would be in its queue again."""
    await harness.stop("sample")
    assert not context.deliveries
    left = {queue: await harness.broker.inspect_queue(queue) for queue in (DURABLE, REQUESTS)}
    assert left == {DURABLE: (0, 0), REQUESTS: (0, 0)}


# -- messages that nobody can read


@pytest.mark.parametrize("queue", [DURABLE, REQUESTS], ids=["durable", "request"])
async def test_a_message_that_nobody_can_read_becomes_one_dead_letter_and_its_neighbours_are_handled(
    harness: RuntimeHarness, worker: Worker, queue: str
) -> None:
    context: Any = await harness.run(add_handlers(worker))
    connections = [context.broker._connection.transport.connection, context.broker.producer.connection.transport]
    channel = await harness.channel()
    poisonous = poison()

    for send, _ in poisonous.values():
        await harness.publish(RecordNote(text="before"))
        await send(channel, queue)
        await harness.publish(RecordNote(text="after"))
        await harness.done(DoWork(text="request"))

    dead = await channel.get_queue(DEAD_QUEUE)
    letters: list[Any] = []

    async def all_are_dead() -> bool:
        while (letter := await dead.get(no_ack=True, fail=False)) is not None:
            letters.append(letter)
        return len(letters) >= len(poisonous)

    await eventually(all_are_dead)
    await harness.wait_until_idle()
    await all_are_dead()
    reasons = [letter.headers["x-reason"] for letter in letters]
    assert all(any(reason.startswith(wanted) for reason in reasons) for _, wanted in poisonous.values()), reasons
    assert len(reasons) == len(poisonous)
    assert {letter.headers["x-queue"] for letter in letters} == {queue}
    assert Counter(await harness.effects()) == Counter(
        {"before": len(poisonous), "after": len(poisonous), "request": len(poisonous)}
    )
    assert connections == [
        context.broker._connection.transport.connection,
        context.broker.producer.connection.transport,
    ]
    await assert_all_have_ended(harness, context)
