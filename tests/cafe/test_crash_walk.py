"""Kills, and lost answers to a COMMIT, at every await of an order.

After each the customer has an answer, the row agrees with it, its number is the next one, and its event was published.
"""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tests.cafe.helpers import CONTEXTS, ORDERS, REPORT, SOLD_OUT, known_item, place_order
from tests.conftest import MakeSettings
from tests.support.crash import COMMIT, Plan
from tests.support.crash_walk import Crashes, CrashWalk
from tests.support.system import System

POSTS = {"ordered": 1, "posted four times": 4, "sold out": 1, "price changed": 1}
"""How often the same request is posted in each scenario."""
WALKED = frozenset({ORDERS})
REFUSALS = {"sold out": "sold_out", "price changed": "price_changed"}


async def play(system: System, crashes: Crashes, name: str, plan: Plan) -> list[str]:
    """Order under a plan of crashes; returns what is wrong."""
    item = await known_item(system, **({"status": SOLD_OUT} if name == "sold out" else {}))
    crashes.begin(plan)
    order_id, command = uuid4(), place_order(item, expected=1 if name == "price changed" else None)
    answers = await asyncio.gather(*(system.outcome(command, id=order_id) for _ in range(POSTS[name])))
    await crashes.end(plan)
    await system.wait_until_idle(within=40)

    rows = await system.rows(ORDERS, "select * from cafe_orders.orders where order_id = $1", order_id)
    problems = []
    if {code for code, _ in answers} != {REFUSALS.get(name, "done")}:
        problems.append(f"answered {answers}")
    if len(rows) != (name not in REFUSALS):
        problems.append(f"{len(rows)} orders")
    orders = await system.rows(ORDERS, "select pickup_number from cafe_orders.orders order by created_at")
    counter = await system.one(ORDERS, "select coalesce(sum(last), 0) as last from cafe_orders.pickup_numbers")
    numbers = sorted(row["pickup_number"] for row in orders)
    if numbers != list(range(1, len(orders) + 1)):
        problems.append(f"numbers {numbers}")
    if counter["last"] != len(orders):
        problems.append(f"{counter['last']} numbers are given to {len(orders)} orders")
    timeline = await system.rows(REPORT, "select version from cafe_report.timeline where subject = $1", order_id)
    if [row["version"] for row in timeline] != [1] * len(rows):
        problems.append(f"the report has versions {timeline}")
    return problems


async def test_an_order_ends_well_after_any_kill_and_any_lost_commit(make_settings: MakeSettings) -> None:
    walk = CrashWalk(play, dict.fromkeys(POSTS, WALKED))

    await walk.run(make_settings, "cafe", CONTEXTS, systems=4, cafe_price_ms=3000)

    assert walk.problems == []
    assert walk.played.total() > 40
    assert walk.place_names() >= {
        "written", "claimed", COMMIT, "started", "outcome_known", "committed", "replied", "handed_over", "publish",
    }  # fmt: skip
