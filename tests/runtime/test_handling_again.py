"""What comes again, what comes later, and what must not happen, on a real broker and database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.base import Refused
from contracts.journal import take_up_dead_letter
from storage.database import CommitInDoubt, Database, Session, Statement
from storage.inbox import Inbox
from tests.runtime.doing import KNOWN, does_it_all, neighbour, remember
from tests.runtime.lab import Decide, Do, Done, Lab, Remember, effect
from tests.support.system import eventually
from workers.runtime.processing.tx import NoReply, Request, RunAgain, Tx
from workers.runtime.worker import Worker


@pytest.fixture
def worker(worker: Worker) -> Worker:
    return does_it_all(worker)


# -- again, and later


async def test_a_step_that_is_not_over_starts_again_with_growing_delay(lab: Lab, worker: Worker) -> None:
    async def five_times(command: Remember, tx: Tx) -> RunAgain | None:
        await effect(tx, "tried")
        times = await tx.value(Statement("select count(*) from lab.effects where message_id = :id"), id=tx.id)
        return RunAgain(tx.backoff(0.1, 10)) if times < 5 else None

    worker.handlers[Remember.topic].first = five_times
    await lab.run(worker)

    id = await lab.publish(Remember())
    await eventually(lambda: _state(lab, id, "done"))

    rows = await lab.rows("lab", "select at - lag(at) over (order by at) as gap from lab.effects order by at")
    gaps = [row["gap"].total_seconds() for row in rows[1:]]
    assert len(gaps) == 4
    delays = (0.1, 0.1, 0.2, 0.4)  # each from the start of a transaction; the effect came a little later
    assert all(gap >= delay - 0.05 for gap, delay in zip(gaps, delays, strict=True)), gaps


async def test_what_is_told_meanwhile_is_told_to_every_repeat_and_is_not_kept(lab: Lab, worker: Worker) -> None:
    over = asyncio.Event()

    async def once_over(command: Do, tx: Tx) -> Done | RunAgain:
        return (
            Done(text="over") if over.is_set() else RunAgain(timedelta(seconds=0.1), meanwhile=Refused("still_at_it"))
        )

    worker.handlers[Do.topic].first = once_over
    await lab.run(worker)
    id = uuid4()

    meanwhile = [await lab.refused(Do(), id=id, digest="one") for _ in range(3)]
    other = await lab.refused(Do(), id=id, digest="another")
    over.set()
    await eventually(lambda: _state(lab, id, "done"))

    assert [refusal["code"] for refusal in meanwhile] == ["still_at_it"] * 3
    assert other["code"] == "idempotency_key_reused"
    assert (await lab.done(Do(), id=id, digest="one"))["text"] == "over"


async def _state(lab: Lab, id: Any, state: str) -> bool:
    row = await lab.row(id)
    return row is not None and row["state"] == state


async def test_a_timer_fires_once_however_many_replicas_look(lab: Lab, worker: Worker) -> None:
    async def set_timers(command: Do, tx: Tx) -> Done:
        for number in range(40):
            tx.schedule(Remember(text=str(number)), after=timedelta(seconds=0.2), name=str(number))
        return Done()

    worker.handlers[Do.topic].first = set_timers
    for replica in ("", " (second)", " (third)"):
        await lab.run(worker, replica=replica)

    await lab.done(Do())
    await lab.wait_until_idle()

    assert sorted(map(int, await lab.effects())) == list(range(40))


async def test_a_timer_belongs_to_the_story_that_set_it(lab: Lab, worker: Worker) -> None:
    seen: list[Any] = []

    async def set_timer(command: Do, tx: Tx) -> Done:
        tx.schedule(Remember())
        return Done()

    async def fired(command: Remember, tx: Tx) -> None:
        seen.append((tx.envelope.story_id, tx.envelope.causation_id, tx.envelope.actor))

    worker.handlers[Do.topic].first = set_timer
    worker.handlers[Remember.topic].first = fired
    await lab.run(worker)
    id = uuid4()

    await lab.done(Do(), id=id)

    await lab.wait_until_idle()
    assert seen == [(id, id, "customer:test")]


# -- what a handler must not do


async def test_a_second_function_that_raises_its_refusal_is_a_bug_and_its_step_is_settled_later(
    lab: Lab, worker: Worker
) -> None:
    outcomes: list[Any] = []
    let_go, begun = asyncio.Event(), asyncio.Event()
    let_go.set()

    async def begin(command: Do, tx: Tx) -> Request:
        return tx.request(Decide(), within=0.2)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        outcomes.append(outcome)
        if outcome is not NoReply.UNKNOWN:
            raise Refused("no")
        return Done(text="settled later")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.handles(Do, requests=Decide)(begin).then(settle)
    await lab.run(worker)
    id = uuid4()

    reply = await lab.ask(Do(), id=id, within=0.5, budget=0.3)
    await eventually(lambda: _state(lab, id, "done"))

    assert reply.kind in ("unknown", "still_running")
    assert outcomes == [Done(text="yes"), NoReply.UNKNOWN]


@pytest.mark.parametrize(
    "mistake",
    [ZeroDivisionError("a bug"), FileNotFoundError("a bug"), ConnectionError("a bug"), TimeoutError("a bug")],
    ids=lambda mistake: type(mistake).__name__,
)
async def test_a_handler_that_always_fails_ends_as_a_dead_letter(lab: Lab, worker: Worker, mistake: Exception) -> None:
    async def fail(command: Remember, tx: Tx) -> None:
        raise mistake

    worker.handlers[Remember.topic].first = fail
    await lab.run(worker, retry_seconds=(0.05,))

    id = await lab.publish(Remember())

    await eventually(lambda: _state(lab, id, "dead"))
    assert "a bug" in (await lab.row(id))["error"]
    assert lab.contexts["lab"].availability.is_available


async def test_a_begun_step_that_became_a_dead_letter_is_settled_when_it_is_replayed(lab: Lab) -> None:
    worker, mended, let_go, begun = Worker("lab"), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def begin(command: Do, tx: Tx) -> Request:
        await effect(tx, "begun")
        return tx.request(Decide(), within=0.2)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        if not mended.is_set():
            raise ZeroDivisionError("a bug")
        await effect(tx, f"settled as {outcome}")
        return Done(text="settled later")

    await neighbour(lab, let_go, begun)
    worker.handles(Do, requests=Decide)(begin).then(settle)
    await lab.run(worker, retry_seconds=(0.05,))
    id = uuid4()
    await lab.ask(Do(), id=id, within=0.5, budget=0.3)
    await eventually(lambda: _state(lab, id, "dead"))

    mended.set()
    await lab.publish(take_up_dead_letter("lab")(message_id=id, action="replay", reason="it is mended"))

    await eventually(lambda: _state(lab, id, "done"))
    assert await lab.effects(id) == ["begun", "settled as NoReply.UNKNOWN"]


async def too_few_values(tx: Tx) -> None:
    await tx.connection.fetch("select $1::int")


async def two_at_once(tx: Tx) -> None:
    await asyncio.gather(*(tx.connection.fetch("select pg_sleep(0.1)") for _ in range(2)))


async def nonsense(tx: Tx) -> None:
    await tx.connection.fetch("selec")


@pytest.mark.parametrize("misuse", [too_few_values, two_at_once, nonsense], ids=lambda misuse: misuse.__name__)
async def test_a_handler_that_misuses_its_connection_ends_as_a_dead_letter_and_its_neighbours_go_on(
    lab: Lab, worker: Worker, misuse: Callable[[Tx], Awaitable[None]]
) -> None:
    async def mistaken(command: Remember, tx: Tx) -> None:
        if command.text == "mistaken":
            await misuse(tx)
        await remember(command, tx)

    worker.handlers[Remember.topic].first = mistaken
    await lab.run(worker, retry_seconds=(0.05,))

    ids = [await lab.publish(Remember(text=text)) for text in ("mistaken", "one", "two", "three")]

    for id, state in zip(ids, ("dead", "done", "done", "done"), strict=True):
        await eventually(lambda: _state(lab, id, state))  # noqa: B023
    assert sorted(await lab.effects()) == ["one", "three", "two"]


# -- in company


async def test_a_crowd_in_which_some_fail_and_all_come_twice_has_each_effect_once(lab: Lab, worker: Worker) -> None:
    async def every_fifth_fails(command: Remember, tx: Tx) -> None:
        await effect(tx, command.text)
        if int(command.text) % 5 == 0:
            raise ZeroDivisionError("a bug")

    worker.handlers[Remember.topic].first = every_fifth_fails
    await lab.run(worker, retry_seconds=(0.05,))
    await lab.run(worker, replica=" (second)", retry_seconds=(0.05,))

    ids = [uuid4() for _ in range(60)]
    await asyncio.gather(
        *(lab.publish(Remember(text=str(number)), id) for number, id in enumerate(ids) for _ in range(2))
    )

    for number, id in enumerate(ids):
        await eventually(lambda: _state(lab, id, "done" if number % 5 else "dead"))  # noqa: B023
    assert sorted(map(int, await lab.effects())) == [number for number in range(60) if number % 5]


async def test_a_crowd_of_whom_some_are_refused_has_the_others_served(lab: Lab, worker: Worker) -> None:
    async def three_are_served(command: Do, tx: Tx) -> Done:
        await tx.connection.execute("select pg_advisory_xact_lock(1)")
        if await tx.value(KNOWN, what="served") >= 3:
            raise Refused("sold_out")
        await effect(tx, "served")
        return Done()

    worker.handlers[Do.topic].first = three_are_served
    await lab.run(worker)
    await lab.run(worker, replica=" (second)")

    replies = await asyncio.gather(*(lab.until_done(Do(), id=uuid4()) for _ in range(50)))

    assert sorted(reply.kind for reply in replies) == ["done"] * 3 + ["refused"] * 47
    assert len(await lab.effects()) == 3


async def test_who_only_looks_sends_nobody_back(lab: Lab, worker: Worker) -> None:
    ran: Counter[str] = Counter()
    let_go = asyncio.Event()
    let_go.set()

    async def look(command: Do, tx: Tx) -> Request:
        ran[command.text] += 1
        return tx.request(Decide(), within=3.0)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        await effect(tx, command.text)
        return Done()

    await neighbour(lab, let_go, asyncio.Event())
    worker.handlers.pop(Do.topic)
    worker.handles(Do, requests=Decide, read_only=True)(look).then(settle)
    await lab.run(worker)

    replies = await asyncio.gather(*(lab.ask(Do(text=str(number)), id=uuid4()) for number in range(40)))

    assert [reply.kind for reply in replies] == ["done"] * 40
    assert set(ran.values()) == {1}
    assert len(await lab.effects()) == 40


# -- a commit in doubt


class LateCommit:
    """The first COMMIT has no answer, and lands when it is told to."""

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


@pytest.mark.parametrize("lands", ["before the row is looked for", "after it"])
async def test_a_commit_without_an_answer_takes_effect_once_whenever_it_lands(
    lab: Lab, worker: Worker, monkeypatch: pytest.MonkeyPatch, lands: str
) -> None:
    """F21: the connection is gone, and the server may still be at it."""

    async def begin_once(command: Do, tx: Tx) -> RunAgain:
        if await tx.value(KNOWN, what="begun"):
            raise Refused("begun_already")
        await effect(tx, "begun")
        return RunAgain(timedelta(minutes=1))

    worker.handlers[Do.topic].first = begin_once
    await lab.run(worker)
    commit, inbox_look = LateCommit(monkeypatch), Inbox.find

    async def look(inbox: Inbox, session: Session, message_id: UUID) -> Any:
        if lands.startswith("before"):
            await commit.landed()
        row = await inbox_look(inbox, session, message_id)
        await commit.landed()
        return row

    monkeypatch.setattr(Inbox, "find", look)
    id = uuid4()

    reply = await lab.ask(Do(), id=id, within=1.0, budget=0.8)

    assert reply.kind in ("still_running", "unknown")
    assert (await lab.row(id))["state"] == "waiting"
    assert await lab.effects(id) == ["begun"]
