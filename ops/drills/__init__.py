"""Drills: planned failures of the local system, each of which returns a line of figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ops.drills import healing, misconfigured, serving
from ops.drills.local_system import LocalSystem, Result

Drill = Callable[[LocalSystem], Awaitable[Result]]

DRILLS: dict[str, Drill] = {
    "rolling-restart": serving.rolling_restart,
    "without-readiness": serving.rollout_without_readiness,
    "frozen": healing.frozen,
    "leaking": healing.leaking,
    "overload": serving.overload,
    "slow-menu": healing.slow_menu,
    "slow-bikes": healing.slow_bikes,
    "scaling": serving.scaling,
    "viewers": serving.viewers,
    "missing-key": misconfigured.missing_key,
    "wrong-exchange": misconfigured.wrong_exchange,
}
