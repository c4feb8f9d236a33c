"""The processor on a real broker and database: repeated requests, deadlines, retries, requests to other contexts."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Refused
from contracts.bike_sharing.refusals import RideOpen
from contracts.outcomes import Outcome
from storage.database import Session
from tests.runtime.harness import (
    Decide,
    DoWork,
    RecordNote,
    RuntimeHarness,
    ShowWork,
    WorkRefused,
    WorkResult,
    record_effect,
)
from tests.runtime.sample_handlers import KNOWN, add_handlers, serve_decisions
from tests.support import refusals
from tests.support.system import eventually
from workers.runtime.processing.tx import NothingCommitted, Request, Retryable, RetryableNotFound, RunAgain, Tx
from workers.runtime.worker import Worker


@pytest.fixture
def worker(worker: Worker) -> Worker:
    return add_handlers(worker)


# -- repeated requests


async def test_a_repeated_request_has_the_first_answer_and_no_second_effect(
    harness: RuntimeHarness, worker: Worker
) -> None:
    await harness.run(worker)
    id = uuid4()

    first = await harness.request(DoWork(text="once"), id=id)
    again = await harness.request(DoWork(text="once"), id=id)

    assert (first.kind, first.replayed, again.kind, again.replayed) == ("done", False, "done", True)
    assert first.body == again.body == b'{"text":"once"}'
    assert await harness.effects(id) == ["once"]


async def test_a_raised_refusal_is_stored_and_its_writes_are_rolled_back(
    harness: RuntimeHarness, worker: Worker
) -> None:
    async def sold_out(command: DoWork, tx: Tx) -> WorkResult:
        await record_effect(tx, "undone")
        raise WorkRefused(left=0)

    worker.handlers[DoWork.topic].first = sold_out
    await harness.run(worker)
    id = uuid4()

    replies = [await harness.request(DoWork(), id=id) for _ in range(2)]

    assert [(reply.kind, reply.body, reply.replayed) for reply in replies] == [
        ("refused", b'{"code": "work_refused", "left": 0}', False),
        ("refused", b'{"code": "work_refused", "left": 0}', True),
    ]
    assert await harness.effects(id) == []


async def test_a_returned_refusal_commits_its_writes(harness: RuntimeHarness, worker: Worker) -> None:
    async def rejected(command: DoWork, tx: Tx) -> Refused:
        await record_effect(tx, "noted")
        return WorkRefused()

    worker.handlers[DoWork.topic].first = rejected
    await harness.run(worker)
    id = uuid4()

    assert (await harness.request(DoWork(), id=id)).kind == "refused"
    assert await harness.effects(id) == ["noted"]


@pytest.mark.parametrize("ends", ["raises", "returns", "meanwhile", "query"])
async def test_a_refusal_that_is_not_declared_is_answered_and_named(
    harness: RuntimeHarness, worker: Worker, capsys: pytest.CaptureFixture[str], ends: str
) -> None:
    async def refuse(message: Any, tx: Any) -> Any:
        if ends == "returns":
            return RideOpen()
        if ends == "meanwhile":
            return RunAgain(timedelta(minutes=1), meanwhile=RideOpen())
        raise RideOpen

    message = ShowWork if ends == "query" else DoWork
    worker.handlers[message.topic].first = refuse
    await harness.run(worker)

    with refusals.compared() as undeclared:
        body = await harness.refused(message())

    assert body == {"code": "ride_open"}
    assert undeclared == [f"sample refuses {message.__name__} with ride_open, which {message.topic} does not declare"]
    assert "undeclared_refusal" in capsys.readouterr().out


async def test_the_same_id_with_another_digest_is_refused(harness: RuntimeHarness, worker: Worker) -> None:
    await harness.run(worker)
    id = uuid4()
    await harness.request(DoWork(text="one"), id=id, digest="one")

    reply = await harness.request(DoWork(text="two"), id=id, digest="two")

    assert reply.body == b'{"code": "idempotency_key_reused"}'
    assert await harness.effects(id) == ["one"]


async def test_a_repeated_request_is_still_running_in_every_replica_until_it_has_its_answer(
    harness: RuntimeHarness, worker: Worker
) -> None:
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def ask_somebody(command: DoWork, tx: Tx) -> Request:
        await record_effect(tx, "begun")
        return tx.request(Decide(), within=3.0)

    async def settle(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        return WorkResult(text="settled")

    await serve_decisions(harness, let_go, begun)
    worker.handlers.pop(DoWork.topic)
    worker.handles(DoWork, requests=Decide)(ask_somebody).then(settle)
    await harness.run(worker)
    await harness.run(worker, replica=" (second)")
    id = uuid4()

    requests = [asyncio.create_task(harness.request(DoWork(), id=id)) for _ in range(6)]
    await begun.wait()
    impatient = await harness.request(DoWork(), id=id, within=0.3)
    let_go.set()

    assert impatient.kind == "still_running"
    assert [(reply.kind, reply.body) for reply in await asyncio.gather(*requests)] == [
        ("done", b'{"text":"settled"}')
    ] * 6
    assert await harness.effects(id) == ["begun"]


# -- deadlines


async def test_a_request_whose_deadline_has_passed_is_not_handled(harness: RuntimeHarness, worker: Worker) -> None:
    await harness.run(worker, delay_ms="sample=400")
    id = uuid4()

    reply = await harness.request(DoWork(text="late"), id=id, within=0.3)

    assert reply.kind == "unknown"
    await harness.wait_until_idle()
    assert await harness.row(id) is None
    assert await harness.effects(id) == []


async def test_a_durable_message_has_no_deadline(harness: RuntimeHarness, worker: Worker) -> None:
    await harness.run(worker, delay_ms="sample=200-300,other=9000")

    id = await harness.publish(RecordNote(text="in time"))

    await eventually(lambda: harness.effects(id))


# -- retryable not found


@pytest.mark.parametrize("message", [DoWork(), ShowWork()], ids=["command", "query"])
async def test_a_retryable_not_found_is_retried(harness: RuntimeHarness, worker: Worker, message: Any) -> None:
    missed = asyncio.Event()

    async def needs_it(message: DoWork | ShowWork, database: Tx | Session) -> WorkResult:
        if not await database.value(KNOWN, what="news"):
            missed.set()
            raise RetryableNotFound
        return WorkResult()

    worker.handlers[message.topic].first = needs_it
    await harness.run(worker)
    request = asyncio.create_task(harness.request(message))
    await missed.wait()

    await harness.rows("sample", "insert into sample.effects (what) values ('news')")

    assert (await request).kind == "done"


@pytest.mark.parametrize("message", [DoWork(text="nothing"), ShowWork(text="nothing")], ids=["command", "query"])
async def test_a_retryable_not_found_is_not_found_after_half_a_second(
    harness: RuntimeHarness, worker: Worker, message: Any
) -> None:
    async def needs_it(command: DoWork, tx: Tx) -> WorkResult:
        raise RetryableNotFound

    worker.handlers[DoWork.topic].first = needs_it
    await harness.run(worker)
    began = time.monotonic()

    reply = await harness.request(message)

    assert reply.body == b'{"code": "not_found"}'
    assert time.monotonic() - began >= 0.5


async def test_any_refusal_may_be_retryable(harness: RuntimeHarness, worker: Worker) -> None:
    async def needs_it(command: DoWork, tx: Tx) -> WorkResult:
        raise Retryable(WorkRefused())

    worker.handlers[DoWork.topic].first = needs_it
    await harness.run(worker)
    began = time.monotonic()

    reply = await harness.request(DoWork(text="nothing"))

    assert (reply.kind, reply.body) == ("refused", b'{"code": "work_refused"}')
    assert time.monotonic() - began >= 0.5


# -- requests from a read-only first function


async def test_a_read_only_first_function_writes_nothing_before_the_reply(
    harness: RuntimeHarness, worker: Worker
) -> None:
    outcomes: list[Any] = []
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def what_does_it_cost(command: DoWork, tx: Tx) -> Request:
        return tx.request(Decide(), within=3.0)

    async def note(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        outcomes.append(outcome)
        await record_effect(tx, "noted")
        return WorkResult(text="noted")

    await serve_decisions(harness, let_go, begun)
    worker.handlers.pop(DoWork.topic)
    worker.handles(DoWork, requests=Decide, read_only=True)(what_does_it_cost).then(note)
    await harness.run(worker)
    id = uuid4()

    request = asyncio.create_task(harness.request(DoWork(), id=id))
    await begun.wait()
    before = await harness.row(id)
    let_go.set()

    assert (await request).kind == "done"
    assert before is None
    assert outcomes == [WorkResult(text="yes")]
    assert (await harness.row(id))["state"] == "done"


async def test_a_read_only_request_without_a_reply_commits_nothing_and_may_be_repeated(
    harness: RuntimeHarness, worker: Worker
) -> None:
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def what_does_it_cost(command: DoWork, tx: Tx) -> Request:
        return tx.request(Decide(), within=3.0 if let_go.is_set() else 0.2)

    async def note(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        await record_effect(tx, "noted")
        if outcome is Outcome.UNKNOWN:
            raise NothingCommitted
        return WorkResult(text="noted")

    await serve_decisions(harness, let_go, begun)
    worker.handlers.pop(DoWork.topic)
    worker.handles(DoWork, requests=Decide, read_only=True)(what_does_it_cost).then(note)
    await harness.run(worker)
    id = uuid4()

    unanswered = await harness.request(DoWork(), id=id)
    left = await harness.row(id), await harness.effects(id)
    let_go.set()
    again = await harness.request(DoWork(), id=id)

    assert (unanswered.kind, left) == ("unavailable", (None, []))
    assert (again.kind, again.replayed, await harness.effects(id)) == ("done", False, ["noted"])


async def test_an_unavailable_callee_is_noticed_before_anything_is_written(
    harness: RuntimeHarness, worker: Worker
) -> None:
    async def begin(command: DoWork, tx: Tx) -> Request:
        await record_effect(tx, "begun")
        return tx.request(Decide(), within=1.0)

    async def settle(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        return WorkResult(text=str(outcome))

    worker.handlers.pop(DoWork.topic)
    worker.handles(DoWork, requests=Decide)(begin).then(settle)
    await harness.run(worker)
    id = uuid4()

    reply = await harness.request(DoWork(), id=id)

    assert reply.kind == "unavailable"
    assert await harness.row(id) is None
