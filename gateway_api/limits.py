"""Limits of load: token buckets for members and addresses, bulkheads for contexts and callers, seats for streams."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from gateway_api import metrics
from gateway_api.connections import network_of
from gateway_api.problems import Problem

MEMBERS = 50_000
"""How many buckets are kept; the least recently used one is dropped, and its member begins with a full bucket again."""
RETRY = {"retry-after": "1"}


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


class FailedAttempts:
    """Requests that fail authentication, by address: `rate` per second, with bursts of four times as many.

    Valid tokens are not counted and never refused, so that nobody is shut out by a neighbour at the same address.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = TokenBuckets(rate, clock)

    def __len__(self) -> int:
        return len(self._buckets)

    def count(self, client: tuple[str, int] | None) -> None:
        """Count a failure of a client, as the scope of its request names it; raises `too_many_requests`."""
        try:
            self._buckets.take(network_of(client[0]) if client else "")
        except Problem:
            metrics.LIMITED.labels("failures").inc()
            raise


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
            metrics.LIMITED.labels("in_flight").inc()
            raise Problem("unavailable")
        self.in_flight[context] = in_flight + 1
        try:
            yield
        finally:
            self.in_flight[context] -= 1


@dataclass(slots=True)
class _Turns:
    slots: asyncio.Semaphore
    users: int = 0
    """Requests that have a slot or wait for one."""


class CallerTurns:
    """At most `limit` requests in flight for each caller and context; a caller's other requests wait for their turn.

    So one caller does not fill a context, and what waits holds nothing that others need. A limit of 0 is none.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._turns: dict[tuple[str, str], _Turns] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @asynccontextmanager
    async def turn(self, context: str, caller: str) -> AsyncIterator[None]:
        """Wait for a slot and occupy it; raises `too_many_requests` when none is free after `patience` seconds."""
        if not self._limit:
            yield
            return
        turns = self._turns.setdefault((context, caller), _Turns(asyncio.Semaphore(self._limit)))
        turns.users += 1
        try:
            await self._wait(turns.slots)
            try:
                yield
            finally:
                turns.slots.release()
        finally:
            turns.users -= 1
            if not turns.users:
                del self._turns[context, caller]

    async def _wait(self, slots: asyncio.Semaphore) -> None:
        if not slots.locked():
            await slots.acquire()
            return
        try:
            async with asyncio.timeout(self._patience):
                await slots.acquire()
        except TimeoutError:
            metrics.LIMITED.labels("in_flight_per_caller").inc()
            raise Problem("too_many_requests", headers=RETRY) from None


class Seats:
    """At most `limit` streams at once, and `per_person` of one person."""

    def __init__(self, limit: int, per_person: int) -> None:
        self._limit = limit
        self._per_person = per_person
        self._taken: dict[str, int] = {}
        self._total = 0

    @contextmanager
    def seat(self, person: str) -> Iterator[None]:
        """Occupy a seat until it is left; raises `too_many_requests`, or `unavailable` when all are occupied."""
        if self._taken.get(person, 0) >= self._per_person:
            metrics.LIMITED.labels("streams_per_person").inc()
            raise Problem("too_many_requests", headers=RETRY)
        if self._total >= self._limit:
            metrics.LIMITED.labels("streams").inc()
            raise Problem("unavailable")
        self._taken[person] = self._taken.get(person, 0) + 1
        self._total += 1
        try:
            yield
        finally:
            self._taken[person] -= 1
            if not self._taken[person]:
                del self._taken[person]
            self._total -= 1
