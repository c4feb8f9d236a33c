"""A step that makes several requests in turn: hold, then pay. It ends once, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.base import Refused
from contracts.outcomes import Outcome
from storage.database import CommitInDoubt
from tests.runtime.harness import Decide, DoWork, RuntimeHarness, WorkRefused, WorkResult, record_effect
from tests.runtime.sample_handlers import serve_decisions
from tests.support.crash import COMMIT, kill
from tests.support.system import eventually
from workers.runtime.processing import failpoints
from workers.runtime.processing.tx import Request, Tx
from workers.runtime.worker import Worker


@pytest.fixture
def outcomes() -> list[Any]:
    """The outcomes that the functions after the first have got."""
    return []


@pytest.fixture
def worker(outcomes: list[Any]) -> Worker:
    made = Worker("sample")

    async def hold(command: DoWork, tx: Tx) -> Request:
        await record_effect(tx, "begun")
        return tx.request(Decide(), within=0.5)

    async def pay(command: DoWork, outcome: Any, tx: Tx) -> Request | Refused:
        outcomes.append(outcome)
        if not isinstance(outcome, WorkResult):
            await record_effect(tx, "given up")
            return WorkRefused()
        await record_effect(tx, "held")
        return tx.request(Decide(), id=tx.derive_id("pay"), within=0.5)

    async def settle(command: DoWork, outcome: Any, tx: Tx) -> WorkResult | Refused:
        outcomes.append(outcome)
        if not isinstance(outcome, WorkResult):
            await record_effect(tx, "undone")
            return WorkRefused()
        await record_effect(tx, "paid")
        return WorkResult(text="paid")

    handler = made.handles(DoWork, requests=(Decide,))(hold)
    handler.then(pay)
    handler.then(settle)
    return made


@pytest.fixture
async def answering(harness: RuntimeHarness) -> asyncio.Event:
    """The context `decisions`, which replies while this is set."""
    replies = asyncio.Event()
    replies.set()
    await serve_decisions(harness, replies, asyncio.Event())
    return replies


async def is_done(harness: RuntimeHarness, id: UUID) -> bool:
    row = await harness.row(id)
    return bool(row and row["state"] == "done")


async def test_each_function_gets_the_outcome_of_the_request_before_it(
    harness: RuntimeHarness, worker: Worker, answering: asyncio.Event, outcomes: list[Any]
) -> None:
    await harness.run(worker)
    id = uuid4()

    reply = await harness.request(DoWork(), id=id)
    again = await harness.request(DoWork(), id=id)

    assert (reply.kind, reply.body) == ("done", b'{"text":"paid"}')
    assert (again.body, again.replayed) == (reply.body, True)
    assert await harness.effects(id) == ["begun", "held", "paid"]
    assert outcomes == [WorkResult(text="yes")] * 2


async def test_a_function_in_between_may_end_the_step(
    harness: RuntimeHarness, worker: Worker, answering: asyncio.Event, outcomes: list[Any]
) -> None:
    answering.clear()
    await harness.run(worker)
    id = uuid4()

    reply = await harness.request(DoWork(), id=id, within=3.0)
    answering.set()

    assert (reply.kind, await harness.effects(id)) == ("refused", ["begun", "given up"])
    assert outcomes == [Outcome.UNKNOWN]
    assert await is_done(harness, id)


async def test_all_requests_together_take_no_longer_than_the_caller_waits(
    harness: RuntimeHarness, worker: Worker, answering: asyncio.Event
) -> None:
    answering.clear()
    await harness.run(worker)

    reply = await harness.request(DoWork(), within=0.4)
    answering.set()

    assert reply.kind == "refused"


async def places_reached(harness: RuntimeHarness) -> list[str]:
    """The places that an undisturbed step reaches, in order."""
    places: list[str] = []

    async def note(context: str, place: str) -> None:
        if context == "sample":
            places.append(place)

    async def has_run() -> bool:
        places.clear()
        return (await harness.request(DoWork())).kind == "done"

    failpoints.hook = note
    try:
        await eventually(has_run)
    finally:
        failpoints.hook = None
    return places


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "commit lost"])
async def test_after_a_crash_at_any_place_the_step_ends_once(
    harness: RuntimeHarness, worker: Worker, answering: asyncio.Event, lost: bool
) -> None:
    await harness.run(worker, scheduler_seconds=0.05)
    places = await places_reached(harness)
    assert places.count("started") == 2

    for number, place in enumerate(places, 1):
        if lost and place != COMMIT:
            continue
        id = uuid4()
        await crash_at(harness, worker, number, id, lost=lost)
        effects = await harness.effects(id)

        ends = {("begun", "held", "paid"), ("begun", "held", "undone"), ("begun", "undone"), ()}
        assert tuple(effects) in ends, f"{place} ({number}): {effects}"


async def crash_at(harness: RuntimeHarness, worker: Worker, number: int, id: UUID, *, lost: bool) -> None:
    """Request something, crash at the n-th place, and wait until the step has ended."""
    reached, crashes = 0, []

    async def crash() -> None:
        await kill(harness.contexts.pop("sample"))
        await harness.run(worker, scheduler_seconds=0.05)

    async def hook(context: str, place: str) -> None:
        nonlocal reached
        reached += context == "sample"
        if context != "sample" or reached != number:
            return
        if lost:
            raise CommitInDoubt
        crashes.append(asyncio.create_task(crash()))
        await asyncio.Event().wait()

    failpoints.hook = hook
    try:
        await harness.request(DoWork(), id=id, within=1.5)
        await asyncio.gather(*crashes)

        async def has_ended() -> bool:
            row = await harness.row(id)
            return row is None or row["state"] == "done"

        await eventually(has_ended)
    finally:
        failpoints.hook = None
