"""Whether the system kept its promises: the invariants checked over all stores, each discrepancy named.

assert await wait_until_idle(settings, within=30)
assert not any((await audit(settings)).values())
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from ops.audit.delivery import i5_nothing_lost, i6_effect_once, i7_order, i8_views_equal_writers
from ops.audit.invariant import Check
from ops.audit.money import Totals, i2_no_double_charge, i4_money_balance, totals
from ops.audit.quiescence import pending_work, wait_until_idle
from ops.audit.registry import PARTS, TABLES, VIEWS
from ops.audit.stores import NotCheckableError, Stores
from ops.audit.unfinished import i1_no_loss
from workers.runtime.settings import Settings

__all__ = ["INVARIANTS", "Finding", "Totals", "audit", "findings", "money_balance", "pending_work", "wait_until_idle"]

INVARIANTS: dict[str, tuple[str, list[Check]]] = {
    "I1": ("no loss", [i1_no_loss]),
    "I2": ("no double charge", [i2_no_double_charge]),
    "I3": ("capacity", []),
    "I4": ("money balance", [i4_money_balance]),
    "I5": ("nothing said is lost", [i5_nothing_lost]),
    "I6": ("effect once", [i6_effect_once]),
    "I7": ("order", [i7_order]),
    "I8": ("views equal their writers", [i8_views_equal_writers]),
    "I9": ("idempotency", []),
}
for part in PARTS:
    for invariant, checks in part.checks.items():
        INVARIANTS[invariant][1].extend(checks)

LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Finding:
    """What was found about one invariant."""

    invariant: str
    title: str
    discrepancies: list[str] = field(default_factory=list)
    not_checkable: str | None = None
    """Why it could not be checked."""

    @property
    def well(self) -> bool:
        return not self.discrepancies and self.not_checkable is None


async def audit(settings: Settings, *, without: Collection[str] = ()) -> dict[str, list[str]]:
    """The discrepancies of each invariant; one that could not be checked has a line that says why.

    `without` names contexts that do not run, and are not expected to have heard of anything.
    """
    found = await findings(settings, without=without)
    return {
        one.invariant: one.discrepancies + ([f"not checkable: {one.not_checkable}"] if one.not_checkable else [])
        for one in found
    }


async def findings(settings: Settings, *, without: Collection[str] = ()) -> list[Finding]:
    """Each invariant, checked. What is found is looked at again after a second, and what is gone then was under way."""
    first = await _look(settings, without)
    if all(finding.well for finding in first):
        return first
    await asyncio.sleep(LOOK_AGAIN_SECONDS)
    return [_standing(*pair) for pair in zip(first, await _look(settings, without), strict=True)]


async def money_balance(settings: Settings) -> Totals | None:
    """What is kept and what is due, at one moment; None when it cannot be read."""
    async with Stores(settings, TABLES, VIEWS).opened() as stores:
        try:
            return await totals(stores)
        except NotCheckableError:
            return None


def _standing(first: Finding, second: Finding) -> Finding:
    again = set(second.discrepancies)
    both = [line for line in first.discrepancies if line in again]
    return Finding(first.invariant, first.title, both, second.not_checkable)


async def _look(settings: Settings, without: Collection[str]) -> list[Finding]:
    async with Stores(settings, TABLES, VIEWS, frozenset(without)).opened() as stores:
        return [await _checked(stores, name, title, checks) for name, (title, checks) in INVARIANTS.items()]


async def _checked(stores: Stores, invariant: str, title: str, checks: list[Check]) -> Finding:
    found: list[str] = []
    try:
        for check in checks:
            found += await check(stores)
    except NotCheckableError as reason:
        return Finding(invariant, title, found + reason.found, str(reason))
    return Finding(invariant, title, found)
