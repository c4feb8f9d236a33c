"""Whether processes do something: what they have computed, and how long they have waited for a core to do so.

On a busy machine a deadline says nothing: a process that wants to run and may not is slow, and not stuck.
"""

import time
from collections.abc import Hashable, Iterable
from pathlib import Path

PATIENCE = 60.0
"""Seconds without progress, after which nobody waits any longer."""
BUSY_SHARE = 0.06
"""The share of a core that a process that starts takes or waits for; one that idles or is frozen stays below."""


def effort(pids: Iterable[int]) -> float:
    """The seconds in which the threads of these processes computed, or could have if there had been a free core."""
    return sum(_of_threads(pid) for pid in pids)


def _of_threads(pid: int) -> float:
    try:
        return sum(map(_nanoseconds, Path(f"/proc/{pid}/task").iterdir())) / 1e9
    except OSError:  # it has ended
        return 0.0


def _nanoseconds(thread: Path) -> int:
    try:
        computed, waited, _ = (thread / "schedstat").read_text().split()
    except (OSError, ValueError):
        return 0
    return int(computed) + int(waited)


class Progress:
    """Follows some processes from look to look."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._signs: Hashable = None
        self._since = time.monotonic()
        self._effort = 0.0

    def is_stalled(self, signs: Hashable, pids: Iterable[int]) -> bool:
        """Whether, for the length of the patience, `signs` stayed the same and these processes did next to nothing."""
        now, done = time.monotonic(), effort(pids)
        worked = done - self._effort > BUSY_SHARE * self._patience
        if signs != self._signs or worked or done < self._effort:
            self._signs, self._since, self._effort = signs, now, done
        return now - self._since > self._patience
