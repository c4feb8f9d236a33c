"""A kill, and a lost COMMIT answer, at every await of an order, over the real runtime.

After each, the customer has an answer, the row agrees with it, its number is the next one, and everything was said.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.cafe.words import ALL, ORDERS, REPORT, SOLD_OUT, item_known_to_orders, order_of
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan, follow
from tests.support.system import System
from workers.runtime.messaging.rpc import RpcReply
from workers.runtime.processing import failpoints

TOWNS, ROUNDS = 4, 1
"""How many towns walk at once, and how often the same place is crashed in one scenario."""

POSTS = {"ordered": 1, "tapped four times": 4, "sold out": 1, "price changed": 1}
"""How often the same request is posted in each scenario."""


@dataclass
class Run:
    """What one run left behind."""

    id: UUID
    replies: list[RpcReply]


async def play(system: System, plans: list[Plan], name: str, plan: Plan) -> Run:
    """Order under a plan of crashes, and wait until the system is quiet."""
    item = await item_known_to_orders(system, **({"status": SOLD_OUT} if name == "sold out" else {}))
    plans.append(plan)
    id, wish = uuid4(), order_of(item, expected=1 if name == "price changed" else None)
    replies = await asyncio.gather(*(system.until_done(wish, id=id) for _ in range(POSTS[name])))
    await asyncio.gather(*plan.crashes)
    await system.wait_until_idle(within=40)
    return Run(id, replies)


async def discrepancies(system: System, run: Run, name: str) -> list[str]:
    """Everything that is wrong after a run."""
    rows = await system.rows(ORDERS, "select * from cafe_orders.orders where order_id = $1", run.id)
    answers = {(reply.kind, json.loads(reply.body).get("code")) for reply in run.replies}
    expected = {"sold out": "sold_out", "price changed": "price_changed"}.get(name)
    wrong = []
    if answers != {("refused" if expected else "done", expected)}:
        wrong.append(f"answered {answers}")
    if len(rows) != (0 if expected else 1):
        wrong.append(f"{len(rows)} orders")
    numbers = await system.rows(ORDERS, "select pickup_number from cafe_orders.orders order by created_at")
    counted = await system.rows(ORDERS, "select coalesce(sum(last), 0) as last from cafe_orders.pickup_numbers")
    if sorted(row["pickup_number"] for row in numbers) != list(range(1, len(numbers) + 1)):
        wrong.append(f"numbers {[row['pickup_number'] for row in numbers]}")
    if counted[0]["last"] != len(numbers):
        wrong.append(f"{counted[0]['last']} numbers are given to {len(numbers)} orders")
    heard = await system.rows(REPORT, "select version from cafe_report.timeline where subject = $1", run.id)
    if [row["version"] for row in heard] != [1] * len(rows):
        wrong.append(f"the report heard of versions {heard}")
    return wrong


async def walk(
    make_settings: MakeSettings, work: asyncio.Queue[tuple[str, Plan]], found: list[str], seen: Counter[str]
) -> None:
    """One system works through the plans that are left."""
    system = await System(await make_settings(cafe_price_ms=3000), "cafe").open()
    plans = follow(system)
    await system.start(*ALL)
    try:
        while not work.empty():
            name, plan = work.get_nowait()
            run = await play(system, plans, name, plan)
            seen[name] += 1
            if problems := await discrepancies(system, run, name):
                found.append(f"{name}, {'lost commit' if plan.lost else 'kill'} at {plan.at} {plan.where}: {problems}")
    finally:
        plans.append(Plan())
        await system.close()


@pytest.fixture(autouse=True)
def _no_failpoints_afterwards() -> Any:
    yield
    failpoints.hook = None


async def test_whatever_is_killed_and_whichever_commit_is_lost_an_order_ends_well(make_settings: MakeSettings) -> None:
    only = frozenset({ORDERS})
    found: list[str] = []
    seen: Counter[str] = Counter()
    work: asyncio.Queue[tuple[str, Plan]] = asyncio.Queue()
    first = {name: Plan(only=only) for name in POSTS}
    for name, plan in first.items():
        work.put_nowait((name, plan))
    await asyncio.create_task(walk(make_settings, work, found, seen))
    for name, plan in first.items():
        met: Counter[tuple[str, str]] = Counter()
        for at, reached in enumerate(plan.trace, start=1):
            met[reached] += 1
            if met[reached] > ROUNDS:
                continue
            work.put_nowait((name, Plan(at, only=only)))
            if reached[1] == COMMIT:
                work.put_nowait((name, Plan(at, lost=True, only=only)))

    await asyncio.gather(*(asyncio.create_task(walk(make_settings, work, found, seen)) for _ in range(TOWNS)))

    assert found == []
    places = {place for plan in first.values() for _, place in plan.trace}
    assert places >= {"written", "claimed", COMMIT, "started", "heard", "committed", "replied", "said", "publish"}
    assert seen.total() > 40, seen
