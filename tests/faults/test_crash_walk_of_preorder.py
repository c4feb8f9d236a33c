"""A kill, and a lost COMMIT answer, at every await while a phone is reserved and a reservation cancelled.

After each, the customer has an answer, the row agrees with it, money and receipt agree with the row, and nothing is
left half-way.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.conftest import MakeSettings
from tests.preorder.reserving import CONTEXTS, RECEIPTS, RESERVATIONS, cancel, discrepancies, product, reserve
from tests.support.crash import COMMIT, Plan, follow
from tests.support.town import Town, customer, eventually
from workers.runtime import failpoints
from workers.runtime.asking import Reply

Place = tuple[str, str]

TOWNS = int(os.environ.get("CRASH_TOWNS", "6"))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
"""How often the same place of the same context is crashed in one scenario."""
ONLY = frozenset({RESERVATIONS, RECEIPTS})
"""Whose process is killed; payments is walked through by video rental."""


@dataclass(frozen=True)
class Scenario:
    """A member who wants the last phone, and may cancel it."""

    token: str
    cancelled: str = ""
    """`pending`: as soon as it is there; `confirmed`: once it was answered."""


SCENARIOS = {
    "approved": Scenario("tok_visa"),
    "declined": Scenario("tok_declined"),
    "silent": Scenario("tok_slow"),
    "cancelled": Scenario("tok_visa", "confirmed"),
    "cancelled while it is paid": Scenario("tok_visa", "pending"),
}


@dataclass
class Run:
    """What one run left behind."""

    reservation_id: UUID
    answer: Reply
    cancellation: Reply | None


async def play(town: Town, plans: list[Plan], scenario: Scenario, plan: Plan) -> Run:
    """Reserve (and cancel) under a plan of crashes, and wait until the town is quiet."""
    wish, id, cancellation = reserve(await product(town, quota=1), customer(), scenario.token), uuid4(), None
    plans.append(plan)
    waiting = asyncio.create_task(town.until_done(wish, id=id))
    if scenario.cancelled == "confirmed":
        await waiting
    if scenario.cancelled:
        await eventually(lambda: row_of(town, id))
        cancellation = await town.until_done(cancel(id), id=uuid4())
    answer = await waiting
    await asyncio.gather(*plan.crashes)
    await town.quiet(within=40)
    return Run(id, answer, cancellation)


async def row_of(town: Town, reservation_id: UUID) -> Any:
    query = "select * from preorder_reservations.reservations where reservation_id = $1"
    rows = await town.rows(RESERVATIONS, query, reservation_id)
    return rows[0] if rows else None


async def wrong_after(town: Town, run: Run) -> list[str]:
    """Everything that is wrong after a run."""
    wrong = await discrepancies(town)
    row = await row_of(town, run.reservation_id)
    code = json.loads(run.answer.body)["code"] if run.answer.kind == "refused" else run.answer.kind
    if code not in truths(row):
        wrong.append(f"answered {code}, but the reservation is {row['status']}")
    if run.cancellation is not None and row["status"] == "CONFIRMED":
        wrong.append(f"the cancellation was answered {run.cancellation}, and the reservation is CONFIRMED")
    return wrong


def truths(row: Any) -> set[str]:
    """The answers to a wish that agree with its row."""
    if row["called_off"]:
        return {"cancelled"}
    if row["paid_at"] is not None:
        return {"done"}
    return {"payment_declined"} if row["status"] == "REJECTED" else {"payment_unavailable"}


async def walk(
    make_settings: MakeSettings, work: asyncio.Queue[tuple[str, Plan]], found: list[str], seen: Counter[str]
) -> None:
    """One town works through the plans that are left."""
    town = await Town(await make_settings(preorder_payment_ms=700)).open()
    plans = follow(town)
    await town.start(*CONTEXTS)
    try:
        while not work.empty():
            name, plan = work.get_nowait()
            run = await play(town, plans, SCENARIOS[name], plan)
            seen[name] += 1
            if problems := await wrong_after(town, run):
                found.append(f"{name}, {'lost commit' if plan.lost else 'kill'} at {plan.at} {plan.where}: {problems}")
    finally:
        plans.append(Plan())
        await town.close()


async def trace_of(make_settings: MakeSettings, name: str) -> list[Place]:
    """The places that a scenario reaches when nothing crashes."""
    found: list[str] = []
    plan = Plan(only=ONLY)
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    work.put_nowait((name, plan))
    await walk(make_settings, work, found, Counter())
    assert not found
    return plan.trace


def begin(scenario: Scenario, trace: list[Place], approved: list[Place]) -> int:
    """Where a scenario parts from that of an approved payment, whose places are walked through once."""
    if scenario.cancelled:
        return len(approved) if scenario.cancelled == "confirmed" else 0
    return 0 if trace is approved else trace.index((RESERVATIONS, "heard"))


@pytest.fixture(autouse=True)
def _no_failpoints_afterwards() -> Any:
    yield
    failpoints.hook = None


async def test_whatever_is_killed_and_whichever_commit_is_lost_the_story_ends_well(make_settings: MakeSettings) -> None:
    traces = dict(
        zip(SCENARIOS, await asyncio.gather(*(trace_of(make_settings, name) for name in SCENARIOS)), strict=True)
    )
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    for name, trace in traces.items():
        met: Counter[Place] = Counter()
        since = begin(SCENARIOS[name], trace, traces["approved"])
        for at, reached in list(enumerate(trace, start=1))[since:]:
            met[reached] += 1
            if met[reached] > ROUNDS:
                continue
            work.put_nowait((name, Plan(at, only=ONLY)))
            if reached[1] == COMMIT:
                work.put_nowait((name, Plan(at, lost=True, only=ONLY)))
    found: list[str] = []
    seen: Counter[str] = Counter()

    await asyncio.gather(*(asyncio.create_task(walk(make_settings, work, found, seen)) for _ in range(TOWNS)))

    assert found == []
    assert seen.total() > 30
    assert {context for trace in traces.values() for context, _ in trace} == ONLY
