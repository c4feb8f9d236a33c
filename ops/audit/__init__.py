"""Whether the town kept its promises: the invariants checked over all stores, each discrepancy named.

assert await quiet(settings, within=30)
assert not any((await audit(settings)).values())
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from ops.audit import shop
from ops.audit.bookings import i1_no_loss, i3_capacity, i9_idempotency
from ops.audit.calm import quiet, unrest
from ops.audit.money import i2_no_double_charge, i4_money_balance
from ops.audit.readers import i5_nothing_lost, i6_effect_once, i7_order, i8_views_equal_writers
from ops.audit.stores import NotCheckableError, Stores
from workers.runtime.settings import Settings

__all__ = ["INVARIANTS", "Finding", "audit", "findings", "quiet", "unrest"]

Check = Callable[[Stores], Awaitable[list[str]]]


def all_of(*checks: Check) -> Check:
    """One check after the other."""

    async def check(stores: Stores) -> list[str]:
        return [line for each in checks for line in await each(stores)]

    return check


INVARIANTS: dict[str, tuple[str, Check]] = {
    "I1": ("no loss", i1_no_loss),
    "I2": ("no double charge", i2_no_double_charge),
    "I3": ("capacity", all_of(i3_capacity, shop.capacity)),
    "I4": ("money balance", all_of(i4_money_balance, shop.transfers)),
    "I5": ("nothing said is lost", all_of(i5_nothing_lost, shop.nothing_lost)),
    "I6": ("effect once", all_of(i6_effect_once, shop.effect_once)),
    "I7": ("order", i7_order),
    "I8": ("views equal their writers", all_of(i8_views_equal_writers, shop.copies_equal)),
    "I9": ("idempotency", all_of(i9_idempotency, shop.answers)),
}

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


def _standing(first: Finding, second: Finding) -> Finding:
    again = set(second.discrepancies)
    both = [line for line in first.discrepancies if line in again]
    return Finding(first.invariant, first.title, both, second.not_checkable)


async def _look(settings: Settings, without: Collection[str]) -> list[Finding]:
    found = []
    async with Stores(settings, frozenset(without)).opened() as stores:
        for invariant, (title, check) in INVARIANTS.items():
            try:
                found.append(Finding(invariant, title, await check(stores)))
            except NotCheckableError as reason:
                found.append(Finding(invariant, title, reason.found, str(reason)))
    return found
