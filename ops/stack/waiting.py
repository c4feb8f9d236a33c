"""Polling for conditions that nothing signals; the only place in the stack that polls."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], within: float, every: float = 0.03) -> T:
    """Poll `condition`; returns its first true value, or its last value after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return value


async def until(condition: Callable[[], Awaitable[T]], within: float, every: float = 0.05) -> T:
    """As `wait_until`, for a coroutine function; other tasks run meanwhile."""
    deadline = time.monotonic() + within
    while True:
        value = await condition()
        if value or time.monotonic() >= deadline:
            return value
        await asyncio.sleep(every)
