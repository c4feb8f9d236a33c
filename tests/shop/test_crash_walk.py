"""Kills, and lost answers to a COMMIT, at every await of the seller's confirmation and of the stock that it takes.

After each the seller has an answer, the order agrees with it, stock, transfer and delivery agree with the order, and
every event was published.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from contracts.shop.orders import CancelOrder
from tests.conftest import MakeSettings
from tests.shop.conftest import TIMES
from tests.shop.helpers import (
    CONTEXTS,
    awaiting_payment,
    cancel,
    confirm,
    discrepancies,
    known_product,
    order_of,
    settled,
    stock_of,
)
from tests.support.crash import COMMIT, Plan
from tests.support.crash_walk import Crashes, CrashWalk
from tests.support.system import Json, System, customer

WALKED = frozenset({"shop.orders", "shop.products"})
PAID = {"PAYMENT_CONFIRMED", "PREPARING", "DELIVERING"}


@dataclass(frozen=True)
class Scenario:
    """Sellers who confirm one order of two pieces at the same instant, each twice under the same key."""

    stock: int
    sellers: int = 1
    cancelled: bool = False
    """The buyer cancels at that instant."""
    walked: frozenset[str] = WALKED
    """The contexts whose places are crashed."""


SCENARIOS = {
    "in stock": Scenario(5, sellers=2),
    "out of stock": Scenario(1),
    "cancelled as well": Scenario(5, cancelled=True, walked=frozenset({"shop.orders"})),
}


async def play(system: System, crashes: Crashes, name: str, plan: Plan) -> list[str]:
    """Confirm under a plan of crashes; returns what is wrong."""
    scenario = SCENARIOS[name]
    product_id, kim = await known_product(system, stock=scenario.stock), customer()
    order = await awaiting_payment(system, product_id, 2, kim)
    await system.wait_until_idle()
    crashes.begin(plan)
    commands: list[tuple[Any, Any]] = [(confirm(order), uuid4()) for _ in range(scenario.sellers)] * 2
    commands += [(cancel(order, kim), uuid4())] if scenario.cancelled else []
    answers = await asyncio.gather(*(settled(system, command, 40, id) for command, id in commands))
    await crashes.end(plan)
    wrong = await discrepancies(system)
    ended = await order_of(system, order)
    left = scenario.stock - 2 * (ended["status"] in PAID)
    if await stock_of(system, product_id) != left:
        wrong.append(f"{await stock_of(system, product_id)} in stock, not {left}")
    return wrong + [
        line
        for (command, _), (code, _) in zip(commands, answers, strict=True)
        if (line := _contradiction(command, code, ended))
    ]


def _contradiction(command: Any, code: str, ended: Json) -> str | None:
    """An answer that does not agree with its order."""
    if isinstance(command, CancelOrder):
        agrees = "done" if ended["status"] == "ORDER_CANCELLED" else "wrong_state"
    else:
        agrees = {"PAYMENT_CANCELLED": "out_of_stock", "ORDER_CANCELLED": "wrong_state"}.get(ended["status"], "done")
    return (
        None if code == agrees else f"{type(command).__name__} was answered {code}, but the order is {ended['status']}"
    )


async def test_an_order_ends_well_after_any_kill_and_any_lost_commit(make_settings: MakeSettings) -> None:
    walk = CrashWalk(play, {name: scenario.walked for name, scenario in SCENARIOS.items()})

    await walk.run(make_settings, "shop", CONTEXTS, systems=7, **TIMES | {"shop_stock_ms": 600})

    assert walk.problems == []
    assert walk.played.total() > 40
    for context in WALKED:
        assert walk.place_names(context) >= {
            "written", "claimed", COMMIT, "committed", "replied", "handed_over", "confirmed",
        }  # fmt: skip
    assert {("shop.orders", "started"), ("shop.orders", "outcome_known")} <= walk.places["in stock"]
