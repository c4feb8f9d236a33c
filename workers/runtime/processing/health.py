"""Whether the work of a context succeeds: readiness follows from it, not from a flag.

Each handler and each background task is a source of results. A source is unhealthy once its last few tries have all
failed, for different messages, and until one succeeds or nothing has been tried for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

TRIES = 3
FORGET_SECONDS = 60.0


@dataclass(slots=True)
class _Source:
    failed: set[object] = field(default_factory=set)
    error: str = ""
    at: float = 0.0


class WorkHealth:
    """The results of one context's work, by source."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sources: dict[str, _Source] = {}

    def succeeded(self, source: str) -> None:
        """A try came to its end, whatever business rules said."""
        if source in self._sources:
            del self._sources[source]

    def failed(self, source: str, error: str, message: object = None) -> None:
        """A try raised; `message` tells tries for different messages apart, None is always another."""
        self._forget_old()
        found = self._sources.setdefault(source, _Source())
        found.failed.add(message if message is not None else object())
        found.error, found.at = error, self._clock()

    def problems(self) -> dict[str, str]:
        """The error of each unhealthy source."""
        self._forget_old()
        return {name: source.error for name, source in self._sources.items() if len(source.failed) >= TRIES}

    def _forget_old(self) -> None:
        now = self._clock()
        for name in [name for name, source in self._sources.items() if now - source.at > FORGET_SECONDS]:
            del self._sources[name]
