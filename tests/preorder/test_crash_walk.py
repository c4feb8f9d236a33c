"""A kill, and a lost COMMIT answer, at every await while a phone is reserved and a reservation cancelled.

After each, the customer has an answer, the row agrees with it, money and receipt agree with the row, and nothing is
left half-way.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.conftest import MakeSettings
from tests.preorder.helpers import RECEIPTS, RESERVATIONS, cancel, discrepancies, known_product, reserve
from tests.support.crash import COMMIT, Plan, follow
from tests.support.system import System, customer, eventually
from workers.runtime.messaging.rpc import RpcReply
from workers.runtime.processing import failpoints

Place = tuple[str, str]

TOWNS = int(os.environ.get("CRASH_TOWNS", "4"))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
"""How often the same place of the same context is crashed in one scenario."""
WALKED = frozenset({RESERVATIONS, RECEIPTS})
"""Whose process is killed; payments is walked through by video rental."""


@dataclass(frozen=True)
class Scenario:
    """A member who wants the last phone, and may cancel it."""

    token: str
    answers: set[str]
    """What the wish is answered when nothing crashes."""
    cancelled: str = ""
    """`pending`: as soon as it is there; `confirmed`: once it was answered."""


SCENARIOS = {
    "approved": Scenario("tok_visa", {"done"}),
    "declined": Scenario("tok_declined", {"payment_declined"}),
    "silent": Scenario("tok_slow", {"payment_unavailable"}),
    "cancelled": Scenario("tok_visa", {"done"}, "confirmed"),
    "cancelled while it is paid": Scenario("tok_visa", {"done", "cancelled"}, "pending"),
}


@dataclass
class Run:
    """What one run left behind."""

    reservation_id: UUID
    answer: RpcReply
    cancellation: RpcReply | None


async def play(system: System, plans: list[Plan], scenario: Scenario, plan: Plan) -> Run:
    """Reserve (and cancel) under a plan of crashes, and wait until the system is quiet."""
    wish, id, cancellation = reserve(await known_product(system, quota=1), customer(), scenario.token), uuid4(), None
    plans.append(plan)
    waiting = asyncio.create_task(system.until_done(wish, id=id))
    if scenario.cancelled == "confirmed":
        await waiting
    if scenario.cancelled:
        await eventually(lambda: row_of(system, id))
        cancellation = await system.until_done(cancel(id), id=uuid4())
    answer = await waiting
    await asyncio.gather(*plan.crashes)
    await system.wait_until_idle(within=40)
    return Run(id, answer, cancellation)


async def row_of(system: System, reservation_id: UUID) -> Any:
    query = "select * from preorder_reservations.reservations where reservation_id = $1"
    rows = await system.rows(RESERVATIONS, query, reservation_id)
    return rows[0] if rows else None


async def wrong_after(system: System, run: Run) -> list[str]:
    """Everything that is wrong after a run."""
    wrong = await discrepancies(system)
    row = await row_of(system, run.reservation_id)
    code = code_of(run.answer)
    if code not in truths(row):
        wrong.append(f"answered {code}, but the reservation is {row['status']}")
    if run.cancellation is not None and row["status"] == "CONFIRMED":
        wrong.append(f"the cancellation was answered {run.cancellation}, and the reservation is CONFIRMED")
    return wrong


def code_of(reply: RpcReply) -> str:
    return str(json.loads(reply.body)["code"]) if reply.kind == "refused" else reply.kind


def truths(row: Any) -> set[str]:
    """The answers to a wish that agree with its row."""
    if row["called_off"]:
        return {"cancelled"}
    if row["paid_at"] is not None:
        return {"done"}
    return {"payment_declined"} if row["status"] == "REJECTED" else {"payment_unavailable"}


@dataclass
class Walk:
    """What several towns walk through together."""

    traces: dict[str, list[Place]] = field(default_factory=dict)
    """The places that each scenario reaches when nothing crashes."""
    untraced: list[str] = field(default_factory=lambda: list(SCENARIOS))
    plans: list[tuple[str, Plan]] = field(default_factory=list)
    all_traced: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(TOWNS))
    found: list[str] = field(default_factory=list)
    runs: int = 0

    async def go(self, make_settings: MakeSettings) -> None:
        """One system traces scenarios, and works through the plans that are left."""
        system = await System(await make_settings(preorder_payment_ms=700), "preorder").open()
        plans = follow(system)
        await system.start(*system.names)
        try:
            while self.untraced:
                name, plan = self.untraced.pop(0), Plan(only=WALKED)
                if await self.run(system, plans, name, plan) in SCENARIOS[name].answers:
                    self.traces[name] = plan.trace
                else:  # on a busy machine an approval may look like silence
                    self.untraced.append(name)
            if await self.all_traced.wait() == 0:
                self.plans += plans_for(self.traces)
            await self.all_traced.wait()
            while self.plans:
                await self.run(system, plans, *self.plans.pop(0))
        finally:
            plans.append(Plan())
            await system.close()

    async def run(self, system: System, plans: list[Plan], name: str, plan: Plan) -> str:
        """Play, look for what is wrong, and return the code of the answer."""
        run = await play(system, plans, SCENARIOS[name], plan)
        self.runs += 1
        if problems := await wrong_after(system, run):
            self.found.append(f"{name}, {'lost commit' if plan.lost else 'kill'} at {plan.at} {plan.where}: {problems}")
        return code_of(run.answer)


def plans_for(traces: dict[str, list[Place]]) -> list[tuple[str, Plan]]:
    """A kill at each place, and a lost answer at each COMMIT."""
    plans = []
    for name, trace in traces.items():
        met: Counter[Place] = Counter()
        since = begin(SCENARIOS[name], trace, traces["approved"])
        for at, reached in list(enumerate(trace, start=1))[since:]:
            met[reached] += 1
            if met[reached] > ROUNDS:
                continue
            plans.append((name, Plan(at, only=WALKED)))
            if reached[1] == COMMIT:
                plans.append((name, Plan(at, lost=True, only=WALKED)))
    return plans


def begin(scenario: Scenario, trace: list[Place], approved: list[Place]) -> int:
    """Where a scenario parts from that of an approved payment, whose places are walked through once."""
    if trace is approved:
        return 0
    if not scenario.cancelled:
        return trace.index((RESERVATIONS, "outcome_known"))
    parted = (at for at, pair in enumerate(zip(trace, approved, strict=False)) if pair[0] != pair[1])
    return next(parted, len(approved))


@pytest.fixture(autouse=True)
def _no_failpoints_afterwards() -> Any:
    yield
    failpoints.hook = None


async def test_whatever_is_killed_and_whichever_commit_is_lost_the_story_ends_well(make_settings: MakeSettings) -> None:
    walk = Walk()

    await asyncio.gather(*(asyncio.create_task(walk.go(make_settings)) for _ in range(TOWNS)))

    assert walk.found == []
    assert walk.runs > 30
    assert {context for trace in walk.traces.values() for context, _ in trace} == WALKED
