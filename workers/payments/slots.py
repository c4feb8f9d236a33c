"""Slots for calls to the payment provider: limited in all, per caller and per purpose, the nearest deadline first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(order=True, slots=True)
class _Waiter:
    deadline: float
    number: int
    caller: str = field(compare=False)
    purpose: str = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class CallSlots:
    """At most `calls` at once; of one caller an eighth of them, of one purpose three quarters."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._per_caller = max(1, calls // 8)
        self._per_purpose = max(1, calls * 3 // 4)
        self._callers: Counter[str] = Counter()
        self._purposes: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def slot(self, caller: str, purpose: str, deadline: float) -> AsyncIterator[None]:
        """Hold a slot until `deadline` (monotonic seconds) at the latest; raises TimeoutError when it passes."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(deadline, next(self._numbers), caller, purpose, loop.create_future())
        heapq.heappush(self._waiting, waiter)
        self._grant()
        async with asyncio.timeout(deadline - time.monotonic()):
            try:
                await waiter.granted
                yield
            finally:
                if waiter.granted.done() and not waiter.granted.cancelled():
                    self._callers[caller] -= 1
                    self._purposes[purpose] -= 1
                waiter.granted.cancel()
                self._grant()

    def _grant(self) -> None:
        """Give free slots to those who wait, by deadline; a caller or a purpose at its limit is passed over."""
        passed_over = []
        while self._waiting and self._purposes.total() < self._calls:
            waiter = heapq.heappop(self._waiting)
            if waiter.granted.done():
                continue
            if self._callers[waiter.caller] >= self._per_caller or self._purposes[waiter.purpose] >= self._per_purpose:
                passed_over.append(waiter)
                continue
            self._callers[waiter.caller] += 1
            self._purposes[waiter.purpose] += 1
            waiter.granted.set_result(None)
        for waiter in passed_over:
            heapq.heappush(self._waiting, waiter)
