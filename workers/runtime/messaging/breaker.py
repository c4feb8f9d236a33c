"""A circuit breaker at the caller, one for each callee."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admitted:
    """Permission for one request; handed back with its result."""

    probe: bool


class CircuitBreaker:
    """Opens when half of the last 20 requests got no reply; admits a single probe once `open_seconds` are over."""

    def __init__(self, open_seconds: float, *, window: int = 20, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_seconds = open_seconds
        self._clock = clock
        self._window = window
        self._recent: deque[bool] = deque(maxlen=window)
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """`closed`, `open` or `half_open`."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._remaining() > 0 else "half_open"

    def _remaining(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + self._open_seconds - self._clock()

    @property
    def retry_after(self) -> int:
        """Whole seconds until a request may be admitted."""
        return max(1, math.ceil(self._remaining()))

    def is_open(self) -> bool:
        """Whether a request would not be admitted now; takes no probe."""
        return self._opened_at is not None and (self._remaining() > 0 or self._probing)

    def admit(self) -> Admitted | None:
        """Admit a request; when half open only one, until its result is known."""
        if self.is_open():
            return None
        self._probing = self._opened_at is not None
        return Admitted(probe=self._probing)

    def replied(self, admitted: Admitted) -> None:
        """The callee replied."""
        if admitted.probe:
            self._opened_at = None
            self._probing = False
            self._recent.clear()
        self._recent.append(True)

    def timed_out(self, admitted: Admitted) -> None:
        """The request was sent and no reply came."""
        self._recent.append(False)
        half = self._recent.count(False) * 2 >= self._window
        if admitted.probe or (self._opened_at is None and half):
            self._opened_at = self._clock()
            self._probing = False

    def not_sent(self, admitted: Admitted) -> None:
        """The request was not begun; another may be the probe."""
        if admitted.probe:
            self._probing = False
