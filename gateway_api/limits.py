"""Limits of load: a token bucket for each member, a bulkhead for each context."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway_api.problems import Problem

MEMBERS = 50_000
"""How many buckets are kept; the least recently used one is dropped, and its member begins with a full bucket again."""


class TokenBuckets:
    """`rate` requests per second and member, with bursts of four times as many; a rate of 0 switches the limit off."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * 4)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By member: tokens, and the clock's time at which they were counted."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, member: str) -> None:
        """Take a token for a request; raises `too_many_requests` when the bucket is empty."""
        if not self._rate:
            return
        now = self._clock()
        tokens, counted_at = self._buckets.get(member, (self._burst, now))
        tokens = min(self._burst, tokens + (now - counted_at) * self._rate)
        allowed = tokens >= 1
        self._buckets[member] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(member)
        if len(self._buckets) > MEMBERS:
            self._buckets.popitem(last=False)
        if not allowed:
            retry_after = math.ceil((1 - tokens) / self._rate)
            raise Problem("too_many_requests", headers={"retry-after": str(max(1, retry_after))})


class Bulkheads:
    """At most `limit` requests in flight for each context, so that a slow context does not block the others."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_flight: dict[str, int] = {}

    @contextmanager
    def slot(self, context: str) -> Iterator[None]:
        """Occupy one slot of a context; raises `unavailable` at once when all are occupied."""
        in_flight = self.in_flight.get(context, 0)
        if in_flight >= self._limit:
            raise Problem("unavailable")
        self.in_flight[context] = in_flight + 1
        try:
            yield
        finally:
            self.in_flight[context] -= 1
