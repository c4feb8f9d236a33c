"""Waiting for what nobody announces: the only place of the stack that looks again and again."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], within: float, every: float = 0.03) -> T:
    """The first true value of `condition`, or its last one after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(every)
    return value
