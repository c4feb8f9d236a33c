"""Waiting for what nobody announces: the only place of the stack that looks again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], within: float, every: float = 0.03) -> T:
    """The first true value of `condition`, or its last one after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return value


async def until(condition: Callable[[], Awaitable[T]], within: float, every: float = 0.05) -> T:
    """As `wait_until`, beside other work."""
    deadline = time.monotonic() + within
    while True:
        value = await condition()
        if value or time.monotonic() >= deadline:
            return value
        await asyncio.sleep(every)
