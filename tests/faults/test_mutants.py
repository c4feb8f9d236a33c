"""Each fault is survived, and the same scenario detects a runtime with a known mistake (a mutant).

fault  what happens                                          the mistake
F04    killed between delivery and commit                    a message is acknowledged before the commit
F06    killed after the provider charged, before the commit  a charge has no key of its own
F09    killed before a message was confirmed                 an outbox row is forgotten before the confirm
F21    the answer to a COMMIT is lost                        a commit in doubt is tried again under a new id
F26    a request is delivered again                          a claim always succeeds, as without an inbox
F34    two relays, and a transaction that stays open         a relay asks for what is newer than the last it saw
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.video_rental.rentals import CancelBooking
from ops.audit import audit
from storage.database import Row, Session
from storage.inbox import Inbox, OutboxMessage
from storage.payments import provider as ledger
from tests.conftest import MakeSettings
from tests.support import checks
from tests.support.crash import COMMIT, Plan, follow
from tests.support.system import System, customer, eventually
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.envelope import RpcReply
from workers.runtime.processing import failpoints
from workers.runtime.processing.handlers import Handler
from workers.runtime.processing.outbox import OutboxRelay
from workers.runtime.processing.processor import MessageProcessor
from workers.runtime.processing.worker_runtime import WorkerRuntime

RENTALS, PAYMENTS, MY_PAGE = "video_rental.rentals", "payments", "video_rental.my_page"

Answers = list[tuple[UUID, RpcReply]]


class Stage(System):
    """A system whose contexts crash as the last plan says."""

    plans: list[Plan]


@pytest.fixture
async def system(make_settings: MakeSettings) -> AsyncIterator[Stage]:
    """A system for one test, without a journal."""
    own = Stage(await make_settings(payments_provider_ms=1000, video_rental_payment_ms=2000, payments_slow_seconds=2))
    await own.open()
    own.plans = follow(own)
    await own.start(PAYMENTS, "video_rental.videos", RENTALS, MY_PAGE)
    yield own
    failpoints.hook = None
    await own.close()


async def discrepancies(system: Stage, answers: Answers) -> list[str]:
    """List every discrepancy once the system is idle or its time is up."""
    with contextlib.suppress(AssertionError):
        await system.wait_until_idle(within=6)
    found = [line for lines in (await audit(system.settings, without=["journal"])).values() for line in lines]
    query = "select * from video_rental_rentals.rentals where rental_id = $1"
    for id, reply in answers:
        rows = await system.rows(RENTALS, query, id)
        found += [problem] if (problem := checks.untrue(reply, rows[0] if rows else None)) else []
    return found


# -- the scenarios


async def crash(
    system: Stage, context: str, place: str, doing: Callable[[], Awaitable[Answers]], **more: Any
) -> Answers:
    """Run a scenario while a context crashes once at a failpoint and is started again."""
    plan = Plan(1, place=place, only=frozenset({context}), **more)
    system.plans.append(plan)
    answers = await doing()

    async def crashed() -> bool:
        return plan.where is not None

    await eventually(crashed)
    await asyncio.gather(*plan.crashes)
    return answers


async def booked(system: Stage, posts: int = 1) -> Answers:
    id, wish = uuid4(), system.booking(await system.video(), customer())
    return [(id, await system.until_done(wish, id=id)) for _ in range(posts)]


async def a_refund_is_asked_for(system: Stage) -> Answers:
    id, member = uuid4(), customer()
    await system.done(system.booking(await system.video(), member), id=id)

    async def cancel() -> Answers:
        await system.done(CancelBooking(rental_id=id, caller=member))
        return []

    return await crash(system, PAYMENTS, "written", cancel)


async def a_charge_is_made(system: Stage) -> Answers:
    return await crash(system, PAYMENTS, "outcome_known", lambda: booked(system))


async def something_is_said(system: Stage) -> Answers:
    await system.video()
    return await crash(system, RENTALS, "publish", lambda: booked(system))


async def a_commit_gets_no_answer(system: Stage) -> Answers:
    video_id, id = await system.video(), uuid4()

    async def book() -> Answers:
        return [(id, await system.until_done(system.booking(video_id), id=id))]

    return await crash(system, RENTALS, COMMIT, book, lost=True)


async def a_request_comes_again(system: Stage) -> Answers:
    return await booked(system, posts=3)


async def a_transaction_stays_open(system: Stage) -> Answers:
    """Crash each writer before it publishes: only two replicas' relays publish, while one booking is held open."""
    await system.start(RENTALS, replica=" (second)")
    held, let_go = asyncio.Event(), asyncio.Event()

    async def hold(context: str, place: str) -> None:
        if (context, place) == (RENTALS, "claimed") and not held.is_set():
            held.set()
            await let_go.wait()

    with pytest.MonkeyPatch.context() as writers:
        slow_video = await system.video()
        await system.wait_until_idle()
        writers.setattr(OutboxRelay, "publish_committed", lambda self, rows: None)
        writers.setattr(failpoints, "hook", hold)
        slow = asyncio.create_task(book_and_show(system, slow_video, shown=False))
        await held.wait()
        quick = await book_and_show(system, await system.video())
        let_go.set()
        answers = [await slow, quick, await book_and_show(system, await system.video())]
    await system.stop(f"{RENTALS} (second)")
    return answers


async def book_and_show(system: Stage, video_id: UUID, shown: bool = True) -> tuple[UUID, RpcReply]:
    """Book, and wait until My Page shows the booking."""
    id = uuid4()
    reply = await system.until_done(system.booking(video_id), id=id)
    query = "select 1 from video_rental_my_page.rentals where rental_id = $1"
    if shown:
        await eventually(lambda: system.rows(MY_PAGE, query, id))
    return id, reply


# -- the mistakes


def acknowledge_before_commit(patch: pytest.MonkeyPatch) -> None:
    process = WorkerRuntime.process

    async def early(self: WorkerRuntime, handler: Handler, delivery: Delivery) -> Any:
        await delivery.release(self.broker.producer)
        return await process(self, handler, delivery)

    patch.setattr(WorkerRuntime, "process", early)


def charge_without_a_key(patch: pytest.MonkeyPatch) -> None:
    charge = ledger.charge

    async def keyless(session: Session, key: UUID, *more: Any, **named: Any) -> Any:
        return await charge(session, uuid4(), *more, **named)

    patch.setattr(ledger, "charge", keyless)


def forget_before_the_confirm(patch: pytest.MonkeyPatch) -> None:
    publish = OutboxRelay._publish

    async def forgetful(self: OutboxRelay, row: OutboxMessage) -> bool:
        self._sent.append(row.id)
        await self.flush()
        return await publish(self, row)

    patch.setattr(OutboxRelay, "_publish", forgetful)


def commit_again_under_a_new_id(patch: pytest.MonkeyPatch) -> None:
    look = MessageProcessor._look

    async def careless(self: MessageProcessor) -> Row | None:
        if not self._in_doubt:
            return await look(self)
        self.envelope = replace(self.envelope, id=uuid4())
        return None

    patch.setattr(MessageProcessor, "_look", careless)


def claim_always(patch: pytest.MonkeyPatch) -> None:
    finish = Inbox.finish

    async def always(self: Inbox, *claims: Any) -> bool:
        await finish(self, *claims)
        return True

    patch.setattr(Inbox, "finish", always)


def poll_for_what_is_newer(patch: pytest.MonkeyPatch) -> None:
    seen: dict[str, datetime] = {}

    async def newer(
        self: Inbox, session: Session, older: timedelta, lease: timedelta, most: int
    ) -> list[OutboxMessage]:
        columns = "id, topic, body, story_id, causation_id, actor"
        rows = await session.connection.fetch(
            f"""select {columns}, created_at from {self.schema}.outbox
            where ($1::timestamptz is null or created_at > $1) and created_at < now() - $2::interval
            order by created_at limit $3""",
            seen.get(self.schema),
            older,
            most,
        )
        for row in rows:
            seen[self.schema] = row["created_at"]
        return [OutboxMessage(**{name: row[name] for name in columns.split(", ")}) for row in rows]

    patch.setattr(Inbox, "lease_unsent", newer)


# -- the mutant


@dataclass(frozen=True)
class Mutant:
    """A fault, the mistake that it reveals, and a word of the discrepancy that is found then."""

    scenario: Callable[[Stage], Awaitable[Answers]]
    mistake: Callable[[pytest.MonkeyPatch], None]
    found: str


MUTANTS = {
    "F04": Mutant(a_refund_is_asked_for, acknowledge_before_commit, "won are kept of charge"),
    "F06": Mutant(a_charge_is_made, charge_without_a_key, "payments has no row of it"),
    "F09": Mutant(something_is_said, forget_before_the_confirm, "version"),
    "F21": Mutant(a_commit_gets_no_answer, commit_again_under_a_new_id, "answered already_booked"),
    "F26": Mutant(a_request_comes_again, claim_always, "answered already_booked"),
    "F34": Mutant(a_transaction_stays_open, poll_for_what_is_newer, "version"),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
async def test_the_runtime_survives_the_fault_and_the_scenario_detects_the_mutant(
    system: Stage, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await discrepancies(system, await mutant.scenario(system)) == []

    mutant.mistake(monkeypatch)
    found = await discrepancies(system, await mutant.scenario(system))

    assert [line for line in found if mutant.found in line], found
