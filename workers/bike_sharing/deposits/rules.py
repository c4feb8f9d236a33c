"""Rules of deposits, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key")


def fee_paid(balance: int, fee: int) -> int:
    """The part of a fee that a balance covers, in won; the rest becomes a debt."""
    return min(balance, fee)


def allocate(limits: Sequence[tuple[Key, int]], amount: int) -> list[tuple[Key, int]]:
    """Share out `amount`, in the order of `limits`, each at most its limit in won; the last share may be a part."""
    parts = []
    for key, most in limits:
        part = min(most, amount)
        if part <= 0:
            break
        parts.append((key, part))
        amount -= part
    return parts
