"""Rules of deposits, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID


def fee_paid(balance: int, fee: int) -> int:
    """The part of a fee that a balance covers, in won; the rest becomes a debt."""
    return min(balance, fee)


def debt_payments(debts: Sequence[tuple[UUID, int]], amount: int) -> list[tuple[UUID, int]]:
    """(bill id, won) that `amount` pays on debts, in the order of `debts`; the last one may be paid in part."""
    parts = []
    for bill_id, owed in debts:
        part = min(owed, amount)
        if part <= 0:
            break
        parts.append((bill_id, part))
        amount -= part
    return parts
