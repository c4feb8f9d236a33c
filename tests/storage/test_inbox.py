"""The statements of the inbox and the outbox on a real database."""

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
from tests.runtime.harness import RecordNote, RuntimeHarness, WorkDone

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox("sample")


@pytest.fixture
async def database(harness: RuntimeHarness) -> AsyncIterator[Database]:
    opened = Database(harness.settings.database_of("sample"), size=16)
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def session(database: Database) -> AsyncIterator[Session]:
    async with database.session() as opened:
        yield opened


def claim(id: UUID | None = None, owner: UUID | None = None, state: str = "done", **more: Any) -> Claim:
    fields: dict[str, Any] = {
        "topic": RecordNote.topic,
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


def outbox_message(text: str = "", id: UUID | None = None) -> OutboxMessage:
    body = WorkDone(version=1, text=text).model_dump_json()
    return OutboxMessage(id or uuid4(), WorkDone.topic, body, uuid4(), None, "test")


def timer(after: timedelta = timedelta(), id: UUID | None = None) -> Timer:
    return Timer(id or uuid4(), RecordNote.topic, RecordNote().model_dump_json(), after)


async def finish(
    session: Session,
    inbox: Inbox,
    claim: Claim,
    messages: Sequence[OutboxMessage] = (),
    timers: Sequence[Timer] = (),
) -> bool:
    """Finish one step."""
    return await inbox.finish(
        session, [CompletedStep(claim, [replace(row, causation_id=claim.id) for row in messages], timers)]
    )


async def counts(harness: RuntimeHarness) -> tuple[int, int]:
    """Return the number of rows in the inbox and in the outbox."""
    row = await harness.one(
        "sample", "select (select count(*) from sample.inbox) i, (select count(*) from sample.outbox) o"
    )
    return row["i"], row["o"]


# -- claims


async def test_a_claim_writes_the_messages_and_timers_of_its_step(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    mine = claim()

    assert await finish(session, inbox, mine, [outbox_message(), outbox_message()], [timer(MINUTE)])

    assert await counts(harness) == (2, 2)
    row = await harness.row(mine.id)
    assert (row["state"], row["answer"], row["attempts"]) == ("done", "{}", 0)


async def test_a_claim_by_another_owner_matches_nothing_and_writes_nothing(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    theirs = claim(state="started", body="{}", answer=None, after=MINUTE)
    await finish(session, inbox, theirs)

    assert not await finish(session, inbox, claim(theirs.id), [outbox_message()], [timer()])

    assert await counts(harness) == (1, 0)
    assert (await harness.row(theirs.id))["owner"] == theirs.owner


@pytest.mark.parametrize("state", ["done", "dead"])
async def test_a_finished_message_cannot_be_claimed_again_by_its_owner(
    harness: RuntimeHarness, inbox: Inbox, session: Session, state: str
) -> None:
    over = claim(state=state)
    await finish(session, inbox, over)

    assert not await finish(session, inbox, claim(over.id, over.owner), [outbox_message()])
    assert await counts(harness) == (1, 0)


async def test_an_owner_settles_the_step_that_it_started(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    started = claim(state="started", body="{}", answer=None, after=MINUTE)
    await finish(session, inbox, started)

    assert await finish(session, inbox, claim(started.id, started.owner, answer='{"n": 1}'), [outbox_message()])

    row = await harness.row(started.id)
    assert (row["state"], row["body"], row["answer"], row["due_at"]) == ("done", None, '{"n": 1}', None)


async def test_of_concurrent_claims_exactly_one_succeeds(
    harness: RuntimeHarness, inbox: Inbox, database: Database
) -> None:
    id = uuid4()

    async def one() -> bool:
        async with database.transaction() as session:
            return await finish(session, inbox, claim(id), [outbox_message()])

    assert sum(await asyncio.gather(*(one() for _ in range(10)))) == 1
    assert await counts(harness) == (1, 1)


async def test_each_step_of_a_batch_writes_its_own_messages_and_a_foreign_one_writes_none(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    first, second, theirs = claim(), claim(), claim(state="started", body="{}", after=MINUTE)
    await finish(session, inbox, theirs)
    foreign = claim(theirs.id)
    messages = {each.id: replace(outbox_message(), causation_id=each.id) for each in (first, second, foreign)}

    whole = await inbox.finish(session, [CompletedStep(each, [messages[each.id]]) for each in (first, second)])
    broken = await inbox.finish(session, [CompletedStep(foreign, [messages[foreign.id]])])

    assert (whole, broken) == (True, False)
    outbox = await harness.rows("sample", "select id, causation_id, story_id from sample.outbox")
    assert {(row["id"], row["causation_id"]) for row in outbox} == {
        (messages[each.id].id, each.id) for each in (first, second)
    }


async def test_a_timer_that_already_exists_is_not_changed(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    id = uuid4()
    await finish(session, inbox, claim(), [], [timer(MINUTE, id)])
    due = (await harness.row(id))["due_at"]

    assert await finish(session, inbox, claim(), [], [timer(2 * MINUTE, id)])

    assert (await harness.row(id))["due_at"] == due


async def test_a_timer_may_be_set_for_an_instant(harness: RuntimeHarness, inbox: Inbox, session: Session) -> None:
    later = await session.connection.fetchval("select now() + interval '3 hours'")
    at = Timer(uuid4(), RecordNote.topic, "{}", MINUTE, later)

    await finish(session, inbox, claim(), [], [at])

    assert (await harness.row(at.id))["due_at"] == later


# -- due rows


async def write_due_rows(
    session: Session, inbox: Inbox, number: int, due: timedelta, state: str = "waiting"
) -> set[UUID]:
    claims = [claim(state=state, body="{}", answer=None, after=due) for _ in range(number)]
    for each in claims:
        await finish(session, inbox, each)
    return {each.id for each in claims}


async def test_a_due_row_is_leased_to_exactly_one_of_ten_schedulers(
    inbox: Inbox, session: Session, database: Database
) -> None:
    due = await write_due_rows(session, inbox, 60, -SECOND)

    async def lease() -> list[UUID]:
        leased = []
        async with database.session() as own:
            while rows := await inbox.lease_due(own, uuid4(), MINUTE, 4):
                leased += [row["id"] for row in rows]
        return leased

    leased = [id for some in await asyncio.gather(*(lease() for _ in range(10))) for id in some]

    assert len(leased) == 60
    assert set(leased) == due


async def test_rows_that_are_not_due_or_finished_are_not_leased(inbox: Inbox, session: Session) -> None:
    await write_due_rows(session, inbox, 2, MINUTE)
    await write_due_rows(session, inbox, 2, -SECOND, state="done")
    await write_due_rows(session, inbox, 2, -SECOND, state="dead")

    assert await inbox.lease_due(session, uuid4(), MINUTE, 10) == []


async def test_an_expired_lease_is_given_to_another_owner_and_the_first_cannot_finish(
    inbox: Inbox, session: Session
) -> None:
    (id,) = await write_due_rows(session, inbox, 1, -SECOND, state="started")
    first, second = uuid4(), uuid4()
    await inbox.lease_due(session, first, -SECOND, 10)
    (row,) = await inbox.lease_due(session, second, MINUTE, 10)

    assert (row["attempts"], row["owner"]) == (2, second)
    assert not await finish(session, inbox, claim(id, first), [outbox_message()])
    assert await finish(session, inbox, claim(id, second))


async def test_the_row_that_has_been_due_longest_is_leased_first(inbox: Inbox, session: Session) -> None:
    late = await write_due_rows(session, inbox, 1, -SECOND)
    early = await write_due_rows(session, inbox, 1, -MINUTE)

    rows = await inbox.lease_due(session, uuid4(), MINUTE, 1)

    assert {row["id"] for row in rows} == early != late


async def test_a_failure_is_stored_with_its_error_and_counted_until_a_success(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    failing = claim(state="waiting", body="{}", answer=None, after=SECOND)
    for _ in range(3):
        assert await inbox.save_failure(session, failing, "a bug")

    row = await harness.row(failing.id)
    assert (row["state"], row["error"], row["failures"]) == ("waiting", "a bug", 3)
    await finish(session, inbox, claim(failing.id, failing.owner, "waiting", body="{}", after=SECOND))
    row = await harness.row(failing.id)
    assert (row["error"], row["failures"]) == (None, 0)


async def test_a_failure_reported_by_another_owner_changes_nothing(inbox: Inbox, session: Session) -> None:
    over = claim()
    await finish(session, inbox, over)

    assert not await inbox.save_failure(session, claim(over.id, state="waiting", after=SECOND), "a bug")
    assert not await inbox.save_failure(session, claim(over.id, over.owner, "dead", after=SECOND), "a bug")


async def test_a_dead_letter_is_replayed_or_discarded_once(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    first, second = claim(state="dead", body="{}"), claim(state="dead", body="{}")
    for dead in (first, second):
        await finish(session, inbox, dead)

    assert await inbox.replay(session, first.id)
    assert not await inbox.replay(session, first.id)
    assert [row["id"] for row in await inbox.lease_due(session, uuid4(), MINUTE, 9)] == [first.id]
    assert await inbox.discard(session, second.id, "nobody needs it")
    assert not await inbox.discard(session, second.id, "again")
    row = await harness.row(second.id)
    assert (row["state"], row["body"], row["error"]) == ("done", None, "discarded: nobody needs it")


# -- the outbox


async def write_outbox_rows(session: Session, inbox: Inbox, *texts: str) -> list[UUID]:
    rows = [outbox_message(text) for text in texts]
    await inbox.add_messages(session, rows)
    return [row.id for row in rows]


async def test_concurrent_relays_share_the_unsent_rows(inbox: Inbox, session: Session, database: Database) -> None:
    ids = await write_outbox_rows(session, inbox, *map(str, range(50)))

    async def relay() -> list[UUID]:
        async with database.session() as own:
            return [row.id for row in await inbox.lease_unsent(own, timedelta(), MINUTE, 25)]

    relayed = await asyncio.gather(*(relay() for _ in range(4)))

    assert sorted(id for some in relayed for id in some) == sorted(ids)


async def test_a_row_that_was_just_written_is_left_to_its_writer(inbox: Inbox, session: Session) -> None:
    await write_outbox_rows(session, inbox, "new")

    assert await inbox.lease_unsent(session, MINUTE, MINUTE, 10) == []


async def test_a_row_that_fails_waits_longer_each_time_and_delays_no_other(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    (failing,) = await write_outbox_rows(session, inbox, "failing")
    waits = []
    for _ in range(12):
        await session.connection.execute("update sample.outbox set next_at = null")
        await inbox.lease_unsent(session, timedelta(), SECOND, 10)
        waits.append((await harness.one("sample", "select next_at - now() as wait from sample.outbox"))["wait"])

    (other,) = await write_outbox_rows(session, inbox, "other")
    assert [round(wait.total_seconds()) for wait in waits] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert [row.id for row in await inbox.lease_unsent(session, timedelta(), SECOND, 10)] == [other]
    await inbox.delete_sent(session, [failing, other])
    assert await counts(harness) == (0, 0)


@asynccontextmanager
async def open_for_long(database: Database, inbox: Inbox) -> AsyncIterator[UUID]:
    """Write a row in a transaction that starts first and ends last; yield its id."""
    async with database.transaction() as long:
        (early,) = await write_outbox_rows(long, inbox, "early")
        yield early


async def test_a_row_that_is_committed_late_is_found_after_newer_ones(
    inbox: Inbox, session: Session, database: Database
) -> None:
    """F34: sequence numbers and timestamps are assigned before the commit."""
    async with open_for_long(database, inbox) as early:
        late = await write_outbox_rows(session, inbox, "late")
        async with database.session() as other:
            relays = await asyncio.gather(
                inbox.lease_unsent(session, timedelta(), MINUTE, 10), inbox.lease_unsent(other, timedelta(), MINUTE, 10)
            )
        assert [row.id for rows in relays for row in rows] == late
        await inbox.delete_sent(session, late)

    assert [row.id for row in await inbox.lease_unsent(session, timedelta(), MINUTE, 10)] == [early]


# -- deletion and status


async def test_old_answers_are_deleted_and_unfinished_rows_are_kept(
    harness: RuntimeHarness, inbox: Inbox, session: Session
) -> None:
    states = ["done", "started", "waiting", "dead"]
    claims = [claim(state=state, body="{}", after=MINUTE) for state in states]
    recent = claim()
    for each in claims:
        await finish(session, inbox, each)
    await session.connection.execute("update sample.inbox set received_at = now() - interval '15 days'")
    await finish(session, inbox, recent)

    assert await inbox.delete_done(session, timedelta(days=14)) == 1

    left = await harness.rows("sample", "select id, state from sample.inbox")
    assert sorted(row["state"] for row in left) == ["dead", "done", "started", "waiting"]
    assert recent.id in {row["id"] for row in left}


async def test_the_status_counts_rows_by_state_and_gives_the_age_of_the_oldest_outbox_row(
    inbox: Inbox, session: Session
) -> None:
    old, _ = await write_outbox_rows(session, inbox, "one", "two")
    await session.connection.execute("update sample.outbox set created_at = now() - interval '90 s' where id = $1", old)
    await write_due_rows(session, inbox, 3, -SECOND)
    await write_due_rows(session, inbox, 2, MINUTE, state="started")
    await write_due_rows(session, inbox, 1, MINUTE, state="dead")

    age = "select extract(epoch from now() - created_at)::float from sample.outbox where id = $1"
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
