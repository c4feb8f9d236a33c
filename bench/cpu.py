"""CPU time by process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import psutil

LOAD, OTHERS, MACHINE = "(load)", "(others)", "(machine)"
"""The load generator, the other processes of the machine, and the capacity of all its cores."""


class Meter:
    """CPU seconds of named processes, each with its children, including ended ones."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._spent = self._all()
        self._busy = _busy()
        self._began = time.perf_counter()

    def read(self) -> dict[str, float]:
        """CPU seconds since the meter was created, with OTHERS and MACHINE."""
        now = self._all()
        spent = {name: now[name] - self._spent[name] for name in now}
        others = max(0.0, _busy() - self._busy - sum(spent.values()))
        return spent | {OTHERS: others, MACHINE: (time.perf_counter() - self._began) * (os.cpu_count() or 1)}

    def _all(self) -> dict[str, float]:
        return {name: _seconds(pid) for name, pid in self._pids.items()}


def _seconds(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its time now counts for its parent
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
