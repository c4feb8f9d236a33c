"""Redelivered, retried and scheduled messages on a real broker and database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.journal import take_up_dead_letter
from contracts.outcomes import Outcome
from storage.database import CommitInDoubt, Database, Session, Statement
from storage.inbox import Inbox
from tests.runtime.harness import Decide, DoWork, RecordNote, RuntimeHarness, WorkRefused, WorkResult, record_effect
from tests.runtime.sample_handlers import KNOWN, add_handlers, record_note, serve_decisions
from tests.support.system import eventually
from workers.runtime.processing.tx import Request, RunAgain, Tx
from workers.runtime.worker import Worker


@pytest.fixture
def worker(worker: Worker) -> Worker:
    return add_handlers(worker)


# -- run again, and timers


async def test_a_handler_that_returns_run_again_is_run_again_with_growing_delay(
    harness: RuntimeHarness, worker: Worker
) -> None:
    async def five_times(command: RecordNote, tx: Tx) -> RunAgain | None:
        await record_effect(tx, "tried")
        times = await tx.value(Statement("select count(*) from sample.effects where message_id = :id"), id=tx.id)
        return RunAgain(tx.backoff(0.1, 10)) if times < 5 else None

    worker.handlers[RecordNote.topic].first = five_times
    await harness.run(worker)

    id = await harness.publish(RecordNote())
    await eventually(lambda: _state(harness, id, "done"))

    rows = await harness.rows("sample", "select at - lag(at) over (order by at) as gap from sample.effects order by at")
    gaps = [row["gap"].total_seconds() for row in rows[1:]]
    assert len(gaps) == 4
    delays = (0.1, 0.1, 0.2, 0.4)  # each from the start of a transaction; the effect is a little later
    assert all(gap >= delay - 0.05 for gap, delay in zip(gaps, delays, strict=True)), gaps


async def test_an_interim_answer_is_given_to_every_repeat_and_is_not_stored(
    harness: RuntimeHarness, worker: Worker
) -> None:
    over = asyncio.Event()

    async def once_over(command: DoWork, tx: Tx) -> WorkResult | RunAgain:
        return WorkResult(text="over") if over.is_set() else RunAgain(timedelta(seconds=0.1), meanwhile=WorkRefused())

    worker.handlers[DoWork.topic].first = once_over
    await harness.run(worker)
    id = uuid4()

    meanwhile = [await harness.refused(DoWork(), id=id, digest="one") for _ in range(3)]
    other = await harness.refused(DoWork(), id=id, digest="another")
    over.set()
    await eventually(lambda: _state(harness, id, "done"))

    assert [refusal["code"] for refusal in meanwhile] == ["work_refused"] * 3
    assert other["code"] == "idempotency_key_reused"
    assert (await harness.done(DoWork(), id=id, digest="one"))["text"] == "over"


async def _state(harness: RuntimeHarness, id: Any, state: str) -> bool:
    row = await harness.row(id)
    return row is not None and row["state"] == state


async def test_a_timer_fires_once_with_any_number_of_replicas(harness: RuntimeHarness, worker: Worker) -> None:
    async def set_timers(command: DoWork, tx: Tx) -> WorkResult:
        for number in range(40):
            tx.schedule(RecordNote(text=str(number)), after=timedelta(seconds=0.2), name=str(number))
        return WorkResult()

    worker.handlers[DoWork.topic].first = set_timers
    for replica in ("", " (second)", " (third)"):
        await harness.run(worker, replica=replica)

    await harness.done(DoWork())
    await harness.wait_until_idle()

    assert sorted(map(int, await harness.effects())) == list(range(40))


async def test_a_handler_that_raises_a_cancellation_does_not_end_the_scheduler(
    harness: RuntimeHarness, worker: Worker
) -> None:
    """A client library raises one when its connection is lost; nobody has cancelled anything."""
    raised: list[UUID] = []

    async def cancelled_once(command: RecordNote, tx: Tx) -> None:
        if not raised:
            raised.append(tx.id)
            raise asyncio.CancelledError
        await record_effect(tx, command.text)

    async def set_timers(command: DoWork, tx: Tx) -> WorkResult:
        for number in range(2):
            tx.schedule(RecordNote(text=str(number)), after=timedelta(seconds=number / 2), name=str(number))
        return WorkResult()

    worker.handlers[DoWork.topic].first = set_timers
    worker.handlers[RecordNote.topic].first = cancelled_once
    await harness.run(worker, retry_seconds=(0.2,) * 100)

    await harness.done(DoWork())
    await harness.wait_until_idle()

    assert (len(raised), sorted(await harness.effects())) == (1, ["0", "1"])


async def test_a_timer_belongs_to_the_story_that_set_it(harness: RuntimeHarness, worker: Worker) -> None:
    seen: list[Any] = []

    async def set_timer(command: DoWork, tx: Tx) -> WorkResult:
        tx.schedule(RecordNote())
        return WorkResult()

    async def fired(command: RecordNote, tx: Tx) -> None:
        seen.append((tx.envelope.story_id, tx.envelope.causation_id, tx.envelope.actor))

    worker.handlers[DoWork.topic].first = set_timer
    worker.handlers[RecordNote.topic].first = fired
    await harness.run(worker)
    id = uuid4()

    await harness.done(DoWork(), id=id)

    await harness.wait_until_idle()
    assert seen == [(id, id, "customer:test")]


# -- mistakes of a handler


async def test_a_second_function_that_raises_its_refusal_is_a_bug_and_its_step_is_settled_later(
    harness: RuntimeHarness, worker: Worker
) -> None:
    outcomes: list[Any] = []
    let_go, begun = asyncio.Event(), asyncio.Event()
    let_go.set()

    async def begin(command: DoWork, tx: Tx) -> Request:
        return tx.request(Decide(), within=1.0)

    async def settle(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        outcomes.append(outcome)
        if outcome is not Outcome.UNKNOWN:
            raise WorkRefused
        return WorkResult(text="settled later")

    await serve_decisions(harness, let_go, begun)
    worker.handlers.pop(DoWork.topic)
    worker.handles(DoWork, requests=Decide)(begin).then(settle)
    await harness.run(worker)
    id = uuid4()

    reply = await harness.request(DoWork(), id=id, within=2.0)
    await eventually(lambda: _state(harness, id, "done"))

    assert reply.kind in ("unknown", "still_running")
    assert outcomes == [WorkResult(text="yes"), Outcome.UNKNOWN]


@pytest.mark.parametrize(
    "mistake",
    [ZeroDivisionError("a bug"), FileNotFoundError("a bug"), ConnectionError("a bug"), TimeoutError("a bug")],
    ids=lambda mistake: type(mistake).__name__,
)
async def test_a_handler_that_always_fails_ends_as_a_dead_letter(
    harness: RuntimeHarness, worker: Worker, mistake: Exception
) -> None:
    async def fail(command: RecordNote, tx: Tx) -> None:
        raise mistake

    worker.handlers[RecordNote.topic].first = fail
    await harness.run(worker, retry_seconds=(0.05,))

    id = await harness.publish(RecordNote())

    await eventually(lambda: _state(harness, id, "dead"))
    assert "a bug" in (await harness.row(id))["error"]
    assert harness.contexts["sample"].availability.is_available


async def test_a_started_step_that_became_a_dead_letter_is_settled_by_its_replay(harness: RuntimeHarness) -> None:
    worker, mended, let_go, begun = Worker("sample"), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def begin(command: DoWork, tx: Tx) -> Request:
        await record_effect(tx, "begun")
        return tx.request(Decide(), within=0.2)

    async def settle(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        if not mended.is_set():
            raise ZeroDivisionError("a bug")
        await record_effect(tx, f"settled as {outcome}")
        return WorkResult(text="settled later")

    await serve_decisions(harness, let_go, begun)
    worker.handles(DoWork, requests=Decide)(begin).then(settle)
    await harness.run(worker, retry_seconds=(0.05,))
    id = uuid4()
    await harness.request(DoWork(), id=id, within=0.5)
    await eventually(lambda: _state(harness, id, "dead"))

    mended.set()
    await harness.publish(take_up_dead_letter("sample")(message_id=id, action="replay", reason="it is mended"))

    await eventually(lambda: _state(harness, id, "done"))
    assert await harness.effects(id) == ["begun", "settled as unknown"]


async def too_few_values(tx: Tx) -> None:
    await tx.connection.fetch("select $1::int")


async def two_at_once(tx: Tx) -> None:
    await asyncio.gather(*(tx.connection.fetch("select pg_sleep(0.1)") for _ in range(2)))


async def nonsense(tx: Tx) -> None:
    await tx.connection.fetch("selec")


@pytest.mark.parametrize("misuse", [too_few_values, two_at_once, nonsense], ids=lambda misuse: misuse.__name__)
async def test_a_handler_that_misuses_its_connection_ends_as_a_dead_letter_without_affecting_others(
    harness: RuntimeHarness, worker: Worker, misuse: Callable[[Tx], Awaitable[None]]
) -> None:
    async def mistaken(command: RecordNote, tx: Tx) -> None:
        if command.text == "mistaken":
            await misuse(tx)
        await record_note(command, tx)

    worker.handlers[RecordNote.topic].first = mistaken
    await harness.run(worker, retry_seconds=(0.05,))

    ids = [await harness.publish(RecordNote(text=text)) for text in ("mistaken", "one", "two", "three")]

    for id, state in zip(ids, ("dead", "done", "done", "done"), strict=True):
        await eventually(lambda: _state(harness, id, state))  # noqa: B023
    assert sorted(await harness.effects()) == ["one", "three", "two"]


# -- concurrent messages


async def test_concurrent_messages_delivered_twice_take_effect_once_while_some_fail(
    harness: RuntimeHarness, worker: Worker
) -> None:
    async def every_fifth_fails(command: RecordNote, tx: Tx) -> None:
        await record_effect(tx, command.text)
        if int(command.text) % 5 == 0:
            raise ZeroDivisionError("a bug")

    worker.handlers[RecordNote.topic].first = every_fifth_fails
    await harness.run(worker, retry_seconds=(0.05,))
    await harness.run(worker, replica=" (second)", retry_seconds=(0.05,))

    ids = [uuid4() for _ in range(60)]
    await asyncio.gather(
        *(harness.publish(RecordNote(text=str(number)), id=id) for number, id in enumerate(ids) for _ in range(2))
    )

    for number, id in enumerate(ids):
        await eventually(lambda: _state(harness, id, "done" if number % 5 else "dead"))  # noqa: B023
    assert sorted(map(int, await harness.effects())) == [number for number in range(60) if number % 5]


async def test_concurrent_requests_are_served_although_some_are_refused(
    harness: RuntimeHarness, worker: Worker
) -> None:
    async def three_are_served(command: DoWork, tx: Tx) -> WorkResult:
        await tx.connection.execute("select pg_advisory_xact_lock(1)")
        if await tx.value(KNOWN, what="served") >= 3:
            raise WorkRefused
        await record_effect(tx, "served")
        return WorkResult()

    worker.handlers[DoWork.topic].first = three_are_served
    await harness.run(worker)
    await harness.run(worker, replica=" (second)")

    replies = await asyncio.gather(*(harness.until_done(DoWork(), id=uuid4()) for _ in range(50)))

    assert sorted(reply.kind for reply in replies) == ["done"] * 3 + ["refused"] * 47
    assert len(await harness.effects()) == 3


async def test_a_read_only_first_function_causes_no_transaction_conflicts(
    harness: RuntimeHarness, worker: Worker
) -> None:
    ran: Counter[str] = Counter()
    let_go = asyncio.Event()
    let_go.set()

    async def quote(command: DoWork, tx: Tx) -> Request:
        ran[command.text] += 1
        return tx.request(Decide(), within=3.0)

    async def settle(command: DoWork, outcome: Any, tx: Tx) -> WorkResult:
        await record_effect(tx, command.text)
        return WorkResult()

    await serve_decisions(harness, let_go, asyncio.Event())
    worker.handlers.pop(DoWork.topic)
    worker.handles(DoWork, requests=Decide, read_only=True)(quote).then(settle)
    await harness.run(worker)

    replies = await asyncio.gather(*(harness.request(DoWork(text=str(number)), id=uuid4()) for number in range(40)))

    assert [reply.kind for reply in replies] == ["done"] * 40
    assert set(ran.values()) == {1}
    assert len(await harness.effects()) == 40


# -- a commit in doubt


class LateCommit:
    """Makes the answer to the first COMMIT get lost; the COMMIT is applied when `landed` is called."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.land = asyncio.Event()
        self.landing: asyncio.Task[None] | None = None
        transaction = Database.transaction

        @asynccontextmanager
        async def doubtful(database: Database) -> AsyncIterator[Session]:
            if self.landing is not None:
                async with transaction(database) as session:
                    yield session
                return
            connection = await database._acquire()
            begun = connection.transaction()
            await begun.start()
            yield Session(connection)
            self.landing = asyncio.create_task(self._commit(begun))
            raise CommitInDoubt

        patch.setattr(Database, "transaction", doubtful)

    async def _commit(self, begun: Any) -> None:
        await self.land.wait()
        await begun.commit()

    async def landed(self) -> None:
        self.land.set()
        assert self.landing is not None
        await self.landing


@pytest.mark.parametrize("lands", ["before the row is read", "after it"])
async def test_a_commit_in_doubt_takes_effect_once_whenever_it_is_applied(
    harness: RuntimeHarness, worker: Worker, monkeypatch: pytest.MonkeyPatch, lands: str
) -> None:
    """F21: the connection is gone, and the server may still be committing."""

    async def begin_once(command: DoWork, tx: Tx) -> RunAgain:
        if await tx.value(KNOWN, what="begun"):
            raise WorkRefused
        await record_effect(tx, "begun")
        return RunAgain(timedelta(minutes=1))

    worker.handlers[DoWork.topic].first = begin_once
    await harness.run(worker)
    commit, inbox_find = LateCommit(monkeypatch), Inbox.find

    async def find(inbox: Inbox, session: Session, message_id: UUID) -> Any:
        if lands.startswith("before"):
            await commit.landed()
        row = await inbox_find(inbox, session, message_id)
        await commit.landed()
        return row

    monkeypatch.setattr(Inbox, "find", find)
    id = uuid4()

    reply = await harness.request(DoWork(), id=id, within=1.0)

    assert reply.kind in ("still_running", "unknown")
    await eventually(lambda: _state(harness, id, "waiting"))
    assert await harness.effects(id) == ["begun"]
