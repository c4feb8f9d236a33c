"""Inbox and outbox, statement by statement, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from storage.database import Database, Session
from storage.inbox import Claim, CompletedStep, Inbox, OutboxMessage, Timer
from tests.runtime.harness import Happened, Lab, Remember

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox("lab")


@pytest.fixture
async def database(lab: Lab) -> AsyncIterator[Database]:
    opened = Database(lab.settings.database_of("lab"), size=16)
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def session(database: Database) -> AsyncIterator[Session]:
    async with database.session() as opened:
        yield opened


def claim(id: UUID | None = None, owner: UUID | None = None, state: str = "done", **more: Any) -> Claim:
    fields: dict[str, Any] = {
        "topic": Remember.topic,
        "digest": "",
        "body": None,
        "answer": "{}",
        "refused": False,
        "after": None,
        "story_id": uuid4(),
        "causation_id": None,
        "actor": "test",
    }
    return Claim(id=id or uuid4(), owner=owner or uuid4(), state=state, **(fields | more))


def told(text: str = "", id: UUID | None = None) -> OutboxMessage:
    body = Happened(version=1, text=text).model_dump_json()
    return OutboxMessage(id or uuid4(), Happened.topic, body, uuid4(), None, "test")


def timer(after: timedelta = timedelta(), id: UUID | None = None) -> Timer:
    return Timer(id or uuid4(), Remember.topic, Remember().model_dump_json(), after)


async def finish(
    session: Session, inbox: Inbox, claim: Claim, told: Sequence[OutboxMessage] = (), timers: Sequence[Timer] = ()
) -> bool:
    """One step's end."""
    return await inbox.finish(
        session, [CompletedStep(claim, [replace(row, causation_id=claim.id) for row in told], timers)]
    )


async def counts(lab: Lab) -> tuple[int, int]:
    """Rows of the inbox and of the outbox."""
    row = await lab.one("lab", "select (select count(*) from lab.inbox) i, (select count(*) from lab.outbox) o")
    return row["i"], row["o"]


# -- claiming


async def test_a_claim_posts_what_the_step_says_and_sets_its_timers(lab: Lab, inbox: Inbox, session: Session) -> None:
    mine = claim()

    assert await finish(session, inbox, mine, [told(), told()], [timer(MINUTE)])

    assert await counts(lab) == (2, 2)
    row = await lab.row(mine.id)
    assert (row["state"], row["answer"], row["attempts"]) == ("done", "{}", 0)


async def test_a_claim_by_another_matches_nothing_and_posts_nothing(lab: Lab, inbox: Inbox, session: Session) -> None:
    theirs = claim(state="started", body="{}", answer=None, after=MINUTE)
    await finish(session, inbox, theirs)

    assert not await finish(session, inbox, claim(theirs.id), [told()], [timer()])

    assert await counts(lab) == (1, 0)
    assert (await lab.row(theirs.id))["owner"] == theirs.owner


@pytest.mark.parametrize("state", ["done", "dead"])
async def test_what_is_over_cannot_be_claimed_again_even_by_its_owner(
    lab: Lab, inbox: Inbox, session: Session, state: str
) -> None:
    over = claim(state=state)
    await finish(session, inbox, over)

    assert not await finish(session, inbox, claim(over.id, over.owner), [told()])
    assert await counts(lab) == (1, 0)


async def test_its_owner_settles_what_it_started(lab: Lab, inbox: Inbox, session: Session) -> None:
    started = claim(state="started", body="{}", answer=None, after=MINUTE)
    await finish(session, inbox, started)

    assert await finish(session, inbox, claim(started.id, started.owner, answer='{"n": 1}'), [told()])

    row = await lab.row(started.id)
    assert (row["state"], row["body"], row["answer"], row["due_at"]) == ("done", None, '{"n": 1}', None)


async def test_two_claims_at_once_have_one_winner(lab: Lab, inbox: Inbox, database: Database) -> None:
    id = uuid4()

    async def one() -> bool:
        async with database.transaction() as session:
            return await finish(session, inbox, claim(id), [told()])

    assert sum(await asyncio.gather(*(one() for _ in range(10)))) == 1
    assert await counts(lab) == (1, 1)


async def test_of_a_batch_each_step_says_its_own_and_a_foreign_one_nothing(
    lab: Lab, inbox: Inbox, session: Session
) -> None:
    first, second, theirs = claim(), claim(), claim(state="started", body="{}", after=MINUTE)
    await finish(session, inbox, theirs)
    foreign = claim(theirs.id)
    said = {each.id: replace(told(), causation_id=each.id) for each in (first, second, foreign)}

    whole = await inbox.finish(session, [CompletedStep(each, [said[each.id]]) for each in (first, second)])
    broken = await inbox.finish(session, [CompletedStep(foreign, [said[foreign.id]])])

    assert (whole, broken) == (True, False)
    outbox = await lab.rows("lab", "select id, causation_id, story_id from lab.outbox")
    assert {(row["id"], row["causation_id"]) for row in outbox} == {
        (said[each.id].id, each.id) for each in (first, second)
    }


async def test_a_timer_that_is_set_already_stays_as_it_is(lab: Lab, inbox: Inbox, session: Session) -> None:
    id = uuid4()
    await finish(session, inbox, claim(), [], [timer(MINUTE, id)])
    due = (await lab.row(id))["due_at"]

    assert await finish(session, inbox, claim(), [], [timer(2 * MINUTE, id)])

    assert (await lab.row(id))["due_at"] == due


async def test_a_timer_may_name_an_instant(lab: Lab, inbox: Inbox, session: Session) -> None:
    later = await session.connection.fetchval("select now() + interval '3 hours'")
    at = Timer(uuid4(), Remember.topic, "{}", MINUTE, later)

    await finish(session, inbox, claim(), [], [at])

    assert (await lab.row(at.id))["due_at"] == later


# -- what is due


async def kept(session: Session, inbox: Inbox, number: int, due: timedelta, state: str = "waiting") -> set[UUID]:
    claims = [claim(state=state, body="{}", answer=None, after=due) for _ in range(number)]
    for each in claims:
        await finish(session, inbox, each)
    return {each.id for each in claims}


async def test_what_is_due_is_leased_to_one_of_ten_takers(inbox: Inbox, session: Session, database: Database) -> None:
    due = await kept(session, inbox, 60, -SECOND)

    async def take() -> list[UUID]:
        taken = []
        async with database.session() as own:
            while rows := await inbox.take_due(own, uuid4(), MINUTE, 4):
                taken += [row["id"] for row in rows]
        return taken

    taken = [id for some in await asyncio.gather(*(take() for _ in range(10))) for id in some]

    assert len(taken) == 60
    assert set(taken) == due


async def test_what_is_not_due_or_over_is_left_alone(inbox: Inbox, session: Session) -> None:
    await kept(session, inbox, 2, MINUTE)
    await kept(session, inbox, 2, -SECOND, state="done")
    await kept(session, inbox, 2, -SECOND, state="dead")

    assert await inbox.take_due(session, uuid4(), MINUTE, 10) == []


async def test_a_lease_that_ran_out_is_given_to_another_who_fences_off_the_first(
    inbox: Inbox, session: Session
) -> None:
    (id,) = await kept(session, inbox, 1, -SECOND, state="started")
    first, second = uuid4(), uuid4()
    await inbox.take_due(session, first, -SECOND, 10)
    (row,) = await inbox.take_due(session, second, MINUTE, 10)

    assert (row["attempts"], row["owner"]) == (2, second)
    assert not await finish(session, inbox, claim(id, first), [told()])
    assert await finish(session, inbox, claim(id, second))


async def test_what_has_been_due_longest_comes_first(inbox: Inbox, session: Session) -> None:
    late = await kept(session, inbox, 1, -SECOND)
    early = await kept(session, inbox, 1, -MINUTE)

    rows = await inbox.take_due(session, uuid4(), MINUTE, 1)

    assert {row["id"] for row in rows} == early != late


async def test_a_failure_is_kept_with_its_error_and_counts_until_it_succeeds(
    lab: Lab, inbox: Inbox, session: Session
) -> None:
    failing = claim(state="waiting", body="{}", answer=None, after=SECOND)
    for _ in range(3):
        assert await inbox.later(session, failing, "a bug")

    row = await lab.row(failing.id)
    assert (row["state"], row["error"], row["failures"]) == ("waiting", "a bug", 3)
    await finish(session, inbox, claim(failing.id, failing.owner, "waiting", body="{}", after=SECOND))
    row = await lab.row(failing.id)
    assert (row["error"], row["failures"]) == (None, 0)


async def test_a_failure_of_somebody_elses_message_changes_nothing(inbox: Inbox, session: Session) -> None:
    over = claim()
    await finish(session, inbox, over)

    assert not await inbox.later(session, claim(over.id, state="waiting", after=SECOND), "a bug")
    assert not await inbox.later(session, claim(over.id, over.owner, "dead", after=SECOND), "a bug")


async def test_a_dead_letter_is_revived_or_buried_once(lab: Lab, inbox: Inbox, session: Session) -> None:
    first, second = claim(state="dead", body="{}"), claim(state="dead", body="{}")
    for letter in (first, second):
        await finish(session, inbox, letter)

    assert await inbox.replay(session, first.id)
    assert not await inbox.replay(session, first.id)
    assert [row["id"] for row in await inbox.take_due(session, uuid4(), MINUTE, 9)] == [first.id]
    assert await inbox.discard(session, second.id, "nobody needs it")
    assert not await inbox.discard(session, second.id, "again")
    row = await lab.row(second.id)
    assert (row["state"], row["body"], row["error"]) == ("done", None, "discarded: nobody needs it")


# -- the outbox


async def posted(session: Session, inbox: Inbox, *texts: str) -> list[UUID]:
    rows = [told(text) for text in texts]
    for row in rows:
        await inbox.post(session, row)
    return [row.id for row in rows]


async def test_two_sweepers_at_once_share_the_rows(inbox: Inbox, session: Session, database: Database) -> None:
    ids = await posted(session, inbox, *map(str, range(50)))

    async def sweep() -> list[UUID]:
        async with database.session() as own:
            return [row.id for row in await inbox.lease_unsent(own, timedelta(), MINUTE, 25)]

    swept = await asyncio.gather(*(sweep() for _ in range(4)))

    assert sorted(id for some in swept for id in some) == sorted(ids)


async def test_what_was_only_just_written_is_its_writers_to_say(inbox: Inbox, session: Session) -> None:
    await posted(session, inbox, "new")

    assert await inbox.lease_unsent(session, MINUTE, MINUTE, 10) == []


async def test_what_fails_waits_longer_each_time_and_holds_up_no_other(
    lab: Lab, inbox: Inbox, session: Session
) -> None:
    (failing,) = await posted(session, inbox, "failing")
    waits = []
    for _ in range(12):
        await session.connection.execute("update lab.outbox set next_at = null")
        await inbox.lease_unsent(session, timedelta(), SECOND, 10)
        waits.append((await lab.one("lab", "select next_at - now() as wait from lab.outbox"))["wait"])

    (other,) = await posted(session, inbox, "other")
    assert [round(wait.total_seconds()) for wait in waits] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert [row.id for row in await inbox.lease_unsent(session, timedelta(), SECOND, 10)] == [other]
    await inbox.sent(session, [failing, other])
    assert await counts(lab) == (0, 0)


@asynccontextmanager
async def open_for_long(database: Database, inbox: Inbox) -> AsyncIterator[UUID]:
    """A row that was written first, in a transaction that ends last."""
    async with database.transaction() as long:
        (early,) = await posted(long, inbox, "early")
        yield early


async def test_a_row_that_is_committed_late_is_found_behind_newer_ones(
    inbox: Inbox, session: Session, database: Database
) -> None:
    """F34: numbers and instants are taken before the commit."""
    async with open_for_long(database, inbox) as early:
        late = await posted(session, inbox, "late")
        async with database.session() as other:
            relays = await asyncio.gather(
                inbox.lease_unsent(session, timedelta(), MINUTE, 10), inbox.lease_unsent(other, timedelta(), MINUTE, 10)
            )
        assert [row.id for rows in relays for row in rows] == late
        await inbox.sent(session, late)

    assert [row.id for row in await inbox.lease_unsent(session, timedelta(), MINUTE, 10)] == [early]


# -- forgetting


async def test_answers_are_forgotten_and_what_is_not_done_is_kept(lab: Lab, inbox: Inbox, session: Session) -> None:
    states = ["done", "started", "waiting", "dead"]
    claims = [claim(state=state, body="{}", after=MINUTE) for state in states]
    recent = claim()
    for each in claims:
        await finish(session, inbox, each)
    await session.connection.execute("update lab.inbox set received_at = now() - interval '15 days'")
    await finish(session, inbox, recent)

    assert await inbox.forget(session, timedelta(days=14)) == 1

    left = await lab.rows("lab", "select id, state from lab.inbox")
    assert sorted(row["state"] for row in left) == ["dead", "done", "started", "waiting"]
    assert recent.id in {row["id"] for row in left}


async def test_the_status_counts_rows_by_state_and_gives_the_age_of_the_oldest_outbox_row(
    inbox: Inbox, session: Session
) -> None:
    old, _ = await posted(session, inbox, "one", "two")
    await session.connection.execute("update lab.outbox set created_at = now() - interval '90 s' where id = $1", old)
    await kept(session, inbox, 3, -SECOND)
    await kept(session, inbox, 2, MINUTE, state="started")
    await kept(session, inbox, 1, MINUTE, state="dead")

    age = "select extract(epoch from now() - created_at)::float from lab.outbox where id = $1"
    before = await session.connection.fetchval(age, old)
    status = await inbox.status(session)
    after = await session.connection.fetchval(age, old)

    assert status["outbox"] == 2
    assert 90 <= before <= status["outbox_age"] <= after
    assert {name: status[name] for name in ("started", "waiting", "due", "dead")} == {
        "started": 2,
        "waiting": 3,
        "due": 3,
        "dead": 1,
    }
