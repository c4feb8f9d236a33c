"""Requests that wait for something that is not known yet: limited per caller, and outside the delivery slots."""

from __future__ import annotations

from collections import Counter

PER_CALLER, IN_ALL = 4, 256


class NotFoundWaits:
    """Counts the requests of one context that wait; a caller over the limit is refused at once."""

    def __init__(self, per_caller: int = PER_CALLER, in_all: int = IN_ALL) -> None:
        self._per_caller = per_caller
        self._in_all = in_all
        self._waiting: Counter[str] = Counter()

    def enter(self, caller: str) -> bool:
        """Whether one more request of this caller may wait; each that was let in must `leave`."""
        if self._waiting.total() >= self._in_all or self._waiting[caller] >= self._per_caller:
            return False
        self._waiting[caller] += 1
        return True

    def leave(self, caller: str) -> None:
        """A request of this caller waits no longer."""
        self._waiting[caller] -= 1
        if not self._waiting[caller]:
            del self._waiting[caller]
