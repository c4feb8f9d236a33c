"""Runs the checks of every invariant and collects what they find."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from ops.audit.delivery import i5_nothing_lost, i6_effect_once, i7_order, i8_views_equal_writers
from ops.audit.invariant import Check
from ops.audit.money import Totals, i2_no_double_charge, i4_money_balance, totals
from ops.audit.registry import SYSTEMS, TABLES, VIEWS
from ops.audit.stores import NotCheckableError, Stores
from ops.audit.unfinished import i1_no_loss
from ops.settings import SystemSettings

INVARIANTS: dict[str, tuple[str, list[Check]]] = {
    "I1": ("no loss", [i1_no_loss]),
    "I2": ("no double charge", [i2_no_double_charge]),
    "I3": ("capacity", []),
    "I4": ("money balance", [i4_money_balance]),
    "I5": ("nothing published is lost", [i5_nothing_lost]),
    "I6": ("effect once", [i6_effect_once]),
    "I7": ("order", [i7_order]),
    "I8": ("views equal their writers", [i8_views_equal_writers]),
    "I9": ("idempotency", []),
}
for system in SYSTEMS:
    for invariant, checks in system.checks.items():
        INVARIANTS[invariant][1].extend(checks)

RECHECK_SECONDS = 1.0


@dataclass(frozen=True)
class Finding:
    """What the audit found about one invariant."""

    invariant: str
    title: str
    discrepancies: list[str] = field(default_factory=list)
    not_checkable: str | None = None
    """Why the invariant could not be checked; None when it could."""

    @property
    def passed(self) -> bool:
        return not self.discrepancies and self.not_checkable is None


async def audit(settings: SystemSettings, *, without: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the discrepancies of each invariant; one that could not be checked has a line that says why.

    `without` names contexts that do not run: the checks do not expect them to have received anything.
    """
    found = await findings(settings, without=without)
    return {
        one.invariant: one.discrepancies + ([f"not checkable: {one.not_checkable}"] if one.not_checkable else [])
        for one in found
    }


async def findings(settings: SystemSettings, *, without: Collection[str] = ()) -> list[Finding]:
    """Check each invariant; discrepancies are checked again after a second, and only those found twice count."""
    first = await _check_all(settings, without)
    if all(finding.passed for finding in first):
        return first
    await asyncio.sleep(RECHECK_SECONDS)
    return [_in_both(*pair) for pair in zip(first, await _check_all(settings, without), strict=True)]


async def money_balance(settings: SystemSettings) -> Totals | None:
    """Return what the provider keeps and what is due, in one snapshot; None when a store cannot be read."""
    async with Stores(settings, TABLES, VIEWS).snapshot() as stores:
        try:
            return await totals(stores)
        except NotCheckableError:
            return None


def _in_both(first: Finding, second: Finding) -> Finding:
    again = set(second.discrepancies)
    both = [line for line in first.discrepancies if line in again]
    return Finding(first.invariant, first.title, both, second.not_checkable)


async def _check_all(settings: SystemSettings, without: Collection[str]) -> list[Finding]:
    async with Stores(settings, TABLES, VIEWS, frozenset(without)).snapshot() as stores:
        return [await _check(stores, name, title, checks) for name, (title, checks) in INVARIANTS.items()]


async def _check(stores: Stores, invariant: str, title: str, checks: list[Check]) -> Finding:
    found: list[str] = []
    try:
        for check in checks:
            found += await check(stores)
    except NotCheckableError as reason:
        return Finding(invariant, title, found + reason.found, str(reason))
    return Finding(invariant, title, found)
