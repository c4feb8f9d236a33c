"""A message's way through a context, on a real broker and database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.base import Refused
from storage.database import CommitInDoubt, Database, Session, Statement
from storage.inbox import Inbox
from tests.runtime.lab import Decide, Do, Done, Happened, Lab, Look, Remember, effect
from tests.support.town import eventually
from workers.runtime import envelope, topology
from workers.runtime.bus import REPLIES
from workers.runtime.tx import Again, Ask, NotKnownYet, Silence, Tx
from workers.runtime.worker import Worker

KNOWN = Statement("select count(*) from lab.effects where what = :what")


async def do(command: Do, tx: Tx) -> Done:
    await effect(tx, command.text)
    tx.publish(Happened(version=1, text=command.text))
    return Done(text=command.text)


async def remember(command: Remember, tx: Tx) -> None:
    await effect(tx, command.text)


async def look(question: Look, session: Session) -> Done:
    if question.text and not await session.value(KNOWN, what=question.text):
        raise NotKnownYet
    return Done(text=question.text)


@pytest.fixture
def worker(worker: Worker) -> Worker:
    """Does, looks and remembers."""
    worker.on(Do)(do)
    worker.on(Look)(look)
    worker.on(Remember)(remember)
    return worker


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

    async def ask_somebody(command: Do, tx: Tx) -> Ask:
        await effect(tx, "begun")
        return tx.ask(Decide(), within=3.0)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        return Done(text="settled")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.on(Do, asks=Decide)(ask_somebody).then(settle)
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


async def neighbour(lab: Lab, let_go: asyncio.Event, begun: asyncio.Event) -> None:
    """Another context, which decides once it is let go."""
    other = Worker("neighbour", takes_up=False)
    other.on(Decide)(do)
    await topology.apply(lab.amqp_url, topology.plan([other]))
    channel = await lab.channel()
    replies = await channel.get_exchange(REPLIES, ensure=False)
    queue = await channel.get_queue(f"{Decide.topic}@neighbour")

    async def decide(question: Any) -> None:
        begun.set()
        await let_go.wait()
        answer = envelope.reply("done", b'{"text": "yes"}', question.correlation_id, "neighbour", replayed=False)
        await replies.publish(answer, routing_key=question.reply_to.partition("|")[0])

    await queue.consume(decide, no_ack=True)


# -- in time


async def test_an_ask_that_waited_here_for_too_long_is_not_begun(lab: Lab, worker: Worker) -> None:
    await lab.run(worker, delay_ms="lab=400")
    id = uuid4()

    reply = await lab.ask(Do(text="late"), id=id, within=0.6, budget=0.5)

    assert reply.kind == "unknown"
    await lab.quiet()
    assert await lab.row(id) is None
    assert await lab.effects(id) == []


async def test_what_is_told_is_never_too_late(lab: Lab, worker: Worker) -> None:
    await lab.run(worker, delay_ms="lab=200-300,other=9000")

    id = await lab.tell(Remember(text="in time"))

    await eventually(lambda: lab.effects(id))


# -- not known yet


async def test_what_is_not_known_yet_is_looked_for_again(lab: Lab, worker: Worker) -> None:
    async def needs_it(command: Do, tx: Tx) -> Done:
        if not await tx.value(KNOWN, what="news"):
            raise NotKnownYet
        return Done()

    worker.handlers[Do.topic].first = needs_it
    await lab.run(worker)
    asks = [asyncio.create_task(lab.ask(message)) for message in (Do(), Look(text="news"))]
    await asyncio.sleep(0.15)  # it has been looked for in vain

    await lab.tell(Remember(text="news"))

    assert [reply.kind for reply in await asyncio.gather(*asks)] == ["done", "done"]


@pytest.mark.parametrize("message", [Do(text="nothing"), Look(text="nothing")], ids=["command", "question"])
async def test_what_is_not_known_after_half_a_second_is_not_found(lab: Lab, worker: Worker, message: Any) -> None:
    async def needs_it(command: Do, tx: Tx) -> Done:
        raise NotKnownYet

    worker.handlers[Do.topic].first = needs_it
    await lab.run(worker)
    asked = time.monotonic()

    reply = await lab.ask(message)

    assert reply.body == b'{"code": "not_found"}'
    assert time.monotonic() - asked >= 0.5


# -- asking only to look


async def test_a_step_that_only_looks_writes_nothing_before_it_is_answered(lab: Lab, worker: Worker) -> None:
    outcomes: list[Any] = []
    let_go, begun = asyncio.Event(), asyncio.Event()

    async def what_does_it_cost(command: Do, tx: Tx) -> Ask:
        return tx.ask(Decide(), within=3.0)

    async def note(command: Do, outcome: Any, tx: Tx) -> Done:
        outcomes.append(outcome)
        await effect(tx, "noted")
        return Done(text="noted")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.on(Do, asks=Decide, looks=True)(what_does_it_cost).then(note)
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


async def test_a_shut_door_is_seen_before_anything_is_written(lab: Lab, worker: Worker) -> None:
    async def begin(command: Do, tx: Tx) -> Ask:
        await effect(tx, "begun")
        return tx.ask(Decide(), within=1.0)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        return Done(text=str(outcome))

    worker.handlers.pop(Do.topic)
    worker.on(Do, asks=Decide)(begin).then(settle)
    await lab.run(worker)
    id = uuid4()

    reply = await lab.ask(Do(), id=id)

    assert reply.kind == "unavailable"
    assert await lab.row(id) is None


# -- again, and later


async def test_a_step_that_is_not_over_starts_again_with_growing_delay(lab: Lab, worker: Worker) -> None:
    async def five_times(command: Remember, tx: Tx) -> Again | None:
        await effect(tx, "tried")
        times = await tx.value(Statement("select count(*) from lab.effects where message_id = :id"), id=tx.id)
        return Again(tx.growing(0.1, 10)) if times < 5 else None

    worker.handlers[Remember.topic].first = five_times
    await lab.run(worker)

    id = await lab.tell(Remember())
    await eventually(lambda: _state(lab, id, "done"))

    rows = await lab.rows("lab", "select at - lag(at) over (order by at) as gap from lab.effects order by at")
    gaps = [row["gap"].total_seconds() for row in rows[1:]]
    assert len(gaps) == 4
    assert all(gap >= delay for gap, delay in zip(gaps, (0.1, 0.1, 0.2, 0.4), strict=True)), gaps


async def _state(lab: Lab, id: Any, state: str) -> bool:
    row = await lab.row(id)
    return row is not None and row["state"] == state


async def test_a_timer_fires_once_however_many_replicas_look(lab: Lab, worker: Worker) -> None:
    async def set_timers(command: Do, tx: Tx) -> Done:
        for number in range(40):
            tx.later(Remember(text=str(number)), after=timedelta(seconds=0.2), name=str(number))
        return Done()

    worker.handlers[Do.topic].first = set_timers
    for replica in ("", " (second)", " (third)"):
        await lab.run(worker, replica=replica)

    await lab.done(Do())
    await lab.quiet()

    assert sorted(map(int, await lab.effects())) == list(range(40))


async def test_a_timer_belongs_to_the_story_that_set_it(lab: Lab, worker: Worker) -> None:
    seen: list[Any] = []

    async def set_timer(command: Do, tx: Tx) -> Done:
        tx.later(Remember())
        return Done()

    async def fired(command: Remember, tx: Tx) -> None:
        seen.append((tx.envelope.story_id, tx.envelope.causation_id, tx.envelope.actor))

    worker.handlers[Do.topic].first = set_timer
    worker.handlers[Remember.topic].first = fired
    await lab.run(worker)
    id = uuid4()

    await lab.done(Do(), id=id)

    await lab.quiet()
    assert seen == [(id, id, "customer:test")]


# -- what a handler must not do


async def test_a_second_function_that_raises_its_refusal_is_a_bug_and_its_step_is_settled_later(
    lab: Lab, worker: Worker
) -> None:
    outcomes: list[Any] = []
    let_go, begun = asyncio.Event(), asyncio.Event()
    let_go.set()

    async def begin(command: Do, tx: Tx) -> Ask:
        return tx.ask(Decide(), within=0.2)

    async def settle(command: Do, outcome: Any, tx: Tx) -> Done:
        outcomes.append(outcome)
        if outcome is not Silence.UNKNOWN:
            raise Refused("no")
        return Done(text="settled later")

    await neighbour(lab, let_go, begun)
    worker.handlers.pop(Do.topic)
    worker.on(Do, asks=Decide)(begin).then(settle)
    await lab.run(worker)
    id = uuid4()

    reply = await lab.ask(Do(), id=id, within=0.5, budget=0.3)
    await eventually(lambda: _state(lab, id, "done"))

    assert reply.kind in ("unknown", "still_running")
    assert outcomes == [Done(text="yes"), Silence.UNKNOWN]


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

    id = await lab.tell(Remember())

    await eventually(lambda: _state(lab, id, "dead"))
    assert "a bug" in (await lab.row(id))["error"]
    assert lab.contexts["lab"].gate.is_open


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

    ids = [await lab.tell(Remember(text=text)) for text in ("mistaken", "one", "two", "three")]

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
    await asyncio.gather(*(lab.tell(Remember(text=str(number)), id) for number, id in enumerate(ids) for _ in range(2)))

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
            assert database._pool is not None
            connection = await database._pool.acquire()
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

    async def begin_once(command: Do, tx: Tx) -> Again:
        if await tx.value(KNOWN, what="begun"):
            raise Refused("begun_already")
        await effect(tx, "begun")
        return Again(timedelta(minutes=1))

    worker.handlers[Do.topic].first = begin_once
    await lab.run(worker)
    commit, inbox_look = LateCommit(monkeypatch), Inbox.look

    async def look(inbox: Inbox, session: Session, message_id: UUID) -> Any:
        if lands.startswith("before"):
            await commit.landed()
        row = await inbox_look(inbox, session, message_id)
        await commit.landed()
        return row

    monkeypatch.setattr(Inbox, "look", look)
    id = uuid4()

    reply = await lab.ask(Do(), id=id, within=1.0, budget=0.8)

    assert reply.kind in ("still_running", "unknown")
    assert (await lab.row(id))["state"] == "waiting"
    assert await lab.effects(id) == ["begun"]
