"""Not too much at once: a token bucket for each member, a bulkhead for each context."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway_api.problems import Problem

MEMBERS = 50_000
"""Buckets kept at once; the one that was used longest ago goes, as a rule full again."""


class Buckets:
    """`rate` requests per second and member, with bursts of four times as many; 0 = off."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * 4)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, member: str) -> None:
        """Count a request; raises `too_many_requests`."""
        if not self._rate:
            return
        now = self._clock()
        left, seen = self._left.get(member, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._rate)
        enough = left >= 1
        self._left[member] = (left - 1 if enough else left, now)
        self._left.move_to_end(member)
        if len(self._left) > MEMBERS:
            self._left.popitem(last=False)
        if not enough:
            wait = math.ceil((1 - left) / self._rate)
            raise Problem("too_many_requests", headers={"retry-after": str(max(1, wait))})


class Bulkheads:
    """At most `limit` requests at once for each context; one that is slow does not take the whole door."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.inside: dict[str, int] = {}

    @contextmanager
    def room(self, context: str) -> Iterator[None]:
        """A place for one request; raises `unavailable` at once when there is none."""
        inside = self.inside.get(context, 0)
        if inside >= self._limit:
            raise Problem("unavailable")
        self.inside[context] = inside + 1
        try:
            yield
        finally:
            self.inside[context] -= 1
