"""A message's way through a context, on a real broker and database."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Refused
from storage.database import Session
from tests.runtime.harness import Decide, Do, Done, Lab, Look, Remember, effect
from tests.runtime.sample_handlers import KNOWN, does_it_all, neighbour
from tests.support.system import eventually
from workers.runtime.processing.tx import NoReply, NothingCommitted, Request, RetryableNotFound, Tx
from workers.runtime.worker import Worker


@pytest.fixture
def worker(worker: Worker) -> Worker:
    return does_it_all(worker)


# -- repeating


async def test_a_repeated_request_has_the_first_answer_and_no_second_effect(lab: Lab, worker: Worker) -> None:
    await lab.run(worker)
    id = uuid4()

    first = await lab.ask(Do(text="once"), id=id)
    again = await lab.ask(Do(text="once"), id=id)

    assert (first.kind, first.replayed, again.kind, again.replayed) == ("done", False, "done", True)
    assert first.body == again.body == b'{"text":"once"}'
    assert await lab.effects(id) == ["once"]


async def test_a_refusal_is_kept_and_what_its_step_did_is_not(lab: Lab, worker: Worker) -> None:
    async def sold_out(command: Do, tx: Tx) -> Done:
        await effect(tx, "undone")
        raise Refused("sold_out", left=0)

    worker.handlers[Do.topic].first = sold_out
    await lab.run(worker)
    id = uuid4()

    replies = [await lab.ask(Do(), id=id) for _ in range(2)]

    assert [(reply.kind, reply.body, reply.replayed) for reply in replies] == [
        ("refused", b'{"code": "sold_out", "left": 0}', False),
        ("refused", b'{"code": "sold_out", "left": 0}', True),
    ]
    assert await lab.effects(id) == []


async def test_a_refusal_that_is_returned_keeps_what_its_step_did(lab: Lab, worker: Worker) -> None:
    async def rejected(command: Do, tx: Tx) -> Refused:
        await effect(tx, "noted")
        return Refused("rejected")

    worker.handlers[Do.topic].first = rejected
    await lab.run(worker)
    id = uuid4()

    assert (await lab.ask(Do(), id=id)).kind == "refused"
    assert await lab.effects(id) == ["noted"]


async def test_the_same_id_for_something_else_is_refused(lab: Lab, worker: Worker) -> None:
    await lab.run(worker)
    id = uuid4()
    await lab.ask(Do(text="one"), id=id, digest="one")

    reply = await lab.ask(Do(text="two"), id=id, digest="two")

    assert reply.body == b'{"code": "idempotency_key_reused"}'
    assert await lab.effects(id) == ["one"]


async def test_a_repeat_of_work_under_way_in_any_replica_is_still_running_and_then_has_its_answer(
    lab: Lab, worker: Worker
) -> None:
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def ask_somebody(command: Do, tx: Tx) -> Request:
        await effect(tx, "begun")
        return tx.request(Decide(), within=3.0)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        return Done(text="settled")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.handles(Do, requests=Decide)(ask_somebody).then(settle)
    await lab.run(worker)
    await lab.run(worker, replica=" (second)")
    id = uuid4()

    asks = [asyncio.create_task(lab.ask(Do(), id=id)) for _ in range(6)]
    await begun.wait()
    impatient = await lab.ask(Do(), id=id, within=0.3, budget=0.1)
    let_go.set()

    assert impatient.kind == "still_running"
    assert [(reply.kind, reply.body) for reply in await asyncio.gather(*asks)] == [("done", b'{"text":"settled"}')] * 6
    assert await lab.effects(id) == ["begun"]


# -- in time


async def test_an_ask_that_waited_here_for_too_long_is_not_begun(lab: Lab, worker: Worker) -> None:
    await lab.run(worker, delay_ms="lab=400")
    id = uuid4()

    reply = await lab.ask(Do(text="late"), id=id, within=0.6, budget=0.5)

    assert reply.kind == "unknown"
    await lab.wait_until_idle()
    assert await lab.row(id) is None
    assert await lab.effects(id) == []


async def test_what_is_told_is_never_too_late(lab: Lab, worker: Worker) -> None:
    await lab.run(worker, delay_ms="lab=200-300,other=9000")

    id = await lab.publish(Remember(text="in time"))

    await eventually(lambda: lab.effects(id))


# -- not known yet


@pytest.mark.parametrize("message", [Do(), Look()], ids=["command", "query"])
async def test_what_is_not_found_yet_is_looked_for_again(lab: Lab, worker: Worker, message: Any) -> None:
    missed = asyncio.Event()

    async def needs_it(message: Do | Look, database: Tx | Session) -> Done:
        if not await database.value(KNOWN, what="news"):
            missed.set()
            raise RetryableNotFound
        return Done()

    worker.handlers[message.topic].first = needs_it
    await lab.run(worker)
    request = asyncio.create_task(lab.ask(message))
    await missed.wait()

    await lab.publish(Remember(text="news"))

    assert (await request).kind == "done"


@pytest.mark.parametrize("message", [Do(text="nothing"), Look(text="nothing")], ids=["command", "question"])
async def test_what_is_not_known_after_half_a_second_is_not_found(lab: Lab, worker: Worker, message: Any) -> None:
    async def needs_it(command: Do, tx: Tx) -> Done:
        raise RetryableNotFound

    worker.handlers[Do.topic].first = needs_it
    await lab.run(worker)
    asked = time.monotonic()

    reply = await lab.ask(message)

    assert reply.body == b'{"code": "not_found"}'
    assert time.monotonic() - asked >= 0.5


async def test_what_is_not_known_yet_may_be_refused_in_words_of_its_own(lab: Lab, worker: Worker) -> None:
    async def needs_it(command: Do, tx: Tx) -> Done:
        raise RetryableNotFound("not_priced_yet")

    worker.handlers[Do.topic].first = needs_it
    await lab.run(worker)
    asked = time.monotonic()

    reply = await lab.ask(Do(text="nothing"))

    assert (reply.kind, reply.body) == ("refused", b'{"code": "not_priced_yet"}')
    assert time.monotonic() - asked >= 0.5


# -- asking only to look


async def test_a_step_that_only_looks_writes_nothing_before_it_is_answered(lab: Lab, worker: Worker) -> None:
    outcomes: list[Any] = []
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def what_does_it_cost(command: Do, tx: Tx) -> Request:
        return tx.request(Decide(), within=3.0)

    async def note(command: Do, outcome: Any, tx: Tx) -> Done:
        outcomes.append(outcome)
        await effect(tx, "noted")
        return Done(text="noted")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.handles(Do, requests=Decide, read_only=True)(what_does_it_cost).then(note)
    await lab.run(worker)
    id = uuid4()

    asking = asyncio.create_task(lab.ask(Do(), id=id))
    await begun.wait()
    before = await lab.row(id)
    let_go.set()

    assert (await asking).kind == "done"
    assert before is None
    assert outcomes == [Done(text="yes")]
    assert (await lab.row(id))["state"] == "done"


async def test_a_look_that_nobody_answers_leaves_nothing_and_may_be_asked_for_again(lab: Lab, worker: Worker) -> None:
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def what_does_it_cost(command: Do, tx: Tx) -> Request:
        return tx.request(Decide(), within=3.0 if let_go.is_set() else 0.2)

    async def note(command: Do, outcome: Any, tx: Tx) -> Done:
        await effect(tx, "noted")
        if outcome is NoReply.UNKNOWN:
            raise NothingCommitted
        return Done(text="noted")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.handles(Do, requests=Decide, read_only=True)(what_does_it_cost).then(note)
    await lab.run(worker)
    id = uuid4()

    silent = await lab.ask(Do(), id=id)
    left = await lab.row(id), await lab.effects(id)
    let_go.set()
    again = await lab.ask(Do(), id=id)

    assert (silent.kind, left) == ("unavailable", (None, []))
    assert (again.kind, again.replayed, await lab.effects(id)) == ("done", False, ["noted"])


async def test_a_shut_door_is_seen_before_anything_is_written(lab: Lab, worker: Worker) -> None:
    async def begin(command: Do, tx: Tx) -> Request:
        await effect(tx, "begun")
        return tx.request(Decide(), within=1.0)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        return Done(text=str(outcome))

    worker.handlers.pop(Do.topic)
    worker.handles(Do, requests=Decide)(begin).then(settle)
    await lab.run(worker)
    id = uuid4()

    reply = await lab.ask(Do(), id=id)

    assert reply.kind == "unavailable"
    assert await lab.row(id) is None
