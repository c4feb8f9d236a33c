"""Rules of deposits that need no table."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID


def taken(balance: int, fee: int) -> int:
    """What a deposit pays of a fee; the rest is owed. In won."""
    return min(balance, fee)


def paid_off(debts: Sequence[tuple[UUID, int]], amount: int) -> list[tuple[UUID, int]]:
    """What an amount pays on each bill, the first in `debts` first, the last one in part; in won."""
    parts = []
    for bill_id, owed in debts:
        part = min(owed, amount)
        if part <= 0:
            break
        parts.append((bill_id, part))
        amount -= part
    return parts
