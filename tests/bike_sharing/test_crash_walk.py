"""A kill, and a lost COMMIT answer, at the places of both steps that ask: a ride's start and a top-up.

After each, the member has an answer and the row agrees with it; in the end the audit finds nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller
from tests.bike_sharing.riding import (
    BIKES,
    DEPOSITS,
    RIDES,
    SYSTEM,
    attempt,
    bike,
    discrepancies,
    end,
    funded,
    start,
    top_up,
)
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan, follow
from tests.support.system import System, customer
from workers.runtime.processing import failpoints

TOWNS = int(os.environ.get("CRASH_TOWNS", "4"))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
"""How often the same place of the same context is crashed in one story."""
ONLY = {
    "start": frozenset({RIDES, BIKES}),
    "top-up": frozenset({DEPOSITS}),
}
QUICK = {"bike_sharing_payment_ms": 700, "bike_sharing_take_ms": 500, "bike_sharing_ask_holder_seconds": 3600}
RIDE = "select status from bike_sharing_rides.rides where ride_id = $1"
TOP_UP = "select status from bike_sharing_deposits.top_ups where top_up_id = $1"
TRUE = {
    ("done", "RIDING"),
    ("bike_unavailable", "NOT_STARTED"),
    ("done", "COMPLETED"),
    ("payment_unavailable", "CANCELLED"),
}
"""Answers, and the rows that agree with them."""


async def play(system: System, plans: list[Plan], name: str, plan: Plan) -> list[str]:
    """One story under a plan of crashes; what is wrong with its answer once the system is quiet."""
    kim, request_id = customer(), uuid4()
    if name == "start":
        bike_id = await bike(system)
        await funded(system, kim)
    await system.wait_until_idle()
    plans.append(plan)
    wish = start(bike_id, kim) if name == "start" else top_up(kim)
    reply = await system.until_done(wish, id=request_id)
    await asyncio.gather(*plan.crashes)
    await system.wait_until_idle(within=40)
    plans.append(Plan())
    code = json.loads(reply.body).get("code") if reply.kind == "refused" else reply.kind
    row = await system.one(*((RIDES, RIDE) if name == "start" else (DEPOSITS, TOP_UP)), request_id)
    wrong = [] if (code, row["status"]) in TRUE else [f"answered {code}, and it is {row['status']}"]
    return wrong + await _afterwards(system, name, kim, request_id, row["status"])


async def _afterwards(system: System, name: str, kim: Caller, request_id: UUID, status: str) -> list[str]:
    """A member whose ride came to nothing rides the same bike; one who rides is brought back."""
    if name != "start":
        return []
    if status == "NOT_STARTED":
        row = await system.one(RIDES, "select bike_id from bike_sharing_rides.rides where ride_id = $1", request_id)
        code = "bike_unavailable"
        while code == "bike_unavailable":  # a busy machine may be silent for once: a new try is another ride
            code, ride = await attempt(system, start(row["bike_id"], kim))
        if code != "done":
            return [f"the bike cannot be ridden: {code}"]
        request_id = UUID(ride["ride_id"])
    code, _ = await attempt(system, end({"ride_id": request_id}))
    return [] if code == "done" else [f"the ride cannot be ended: {code}"]


async def walk(
    make_settings: MakeSettings, work: asyncio.Queue[tuple[str, Plan]], found: list[str], seen: Counter[str]
) -> None:
    """One system works through the plans that are left."""
    system = await System(await make_settings(**QUICK), "bike_sharing").open()
    plans = follow(system)
    plans.append(Plan())
    await system.start(*SYSTEM)
    try:
        while not work.empty():
            name, plan = work.get_nowait()
            problems = await play(system, plans, name, plan)
            seen[name] += 1
            if problems:
                found.append(f"{name}, {'lost commit' if plan.lost else 'kill'} at {plan.at} {plan.where}: {problems}")
        found += await discrepancies(system)
    finally:
        plans.append(Plan())
        await system.close()


async def trace_of(make_settings: MakeSettings, name: str) -> list[tuple[str, str]]:
    """The places that a story reaches when nothing crashes."""
    found: list[str] = []
    plan = Plan(only=ONLY[name])
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    work.put_nowait((name, plan))
    await walk(make_settings, work, found, Counter())
    assert not found
    return plan.trace


@pytest.fixture(autouse=True)
def _no_failpoints_afterwards() -> Iterator[None]:
    yield
    failpoints.hook = None


async def test_whatever_is_killed_and_whichever_commit_is_lost_the_books_balance(make_settings: MakeSettings) -> None:
    traces = dict(zip(ONLY, await asyncio.gather(*(trace_of(make_settings, name) for name in ONLY)), strict=True))
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    for name, trace in traces.items():
        met: Counter[tuple[str, str]] = Counter()
        for at, reached in enumerate(trace, start=1):
            met[reached] += 1
            if met[reached] > ROUNDS + (reached[1] in ("written", COMMIT)):  # each step has these
                continue
            work.put_nowait((name, Plan(at, only=ONLY[name])))
            if reached[1] == COMMIT:
                work.put_nowait((name, Plan(at, lost=True, only=ONLY[name])))
    planned = work.qsize()
    found: list[str] = []
    seen: Counter[str] = Counter()

    await asyncio.gather(*(asyncio.create_task(walk(make_settings, work, found, seen)) for _ in range(TOWNS)))

    assert found == []
    assert seen.total() == planned
    assert planned > 20
    assert {place for trace in traces.values() for _, place in trace} >= {"written", COMMIT, "started", "heard", "said"}
