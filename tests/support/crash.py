"""Crashes at named places, in several towns of one process at once."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field

from storage.database import CommitInDoubt
from tests.support.system import System
from workers.runtime.processing import failpoints

COMMIT = "commit lost?"


@dataclass
class Plan:
    """Where one run crashes: at the k-th place that is reached; `lost`: a COMMIT answer is lost there instead."""

    at: int = 0
    lost: bool = False
    place: str = ""
    """Only this place counts."""
    only: frozenset[str] = frozenset({"payments", "video_rental.rentals"})
    trace: list[tuple[str, str]] = field(default_factory=list)
    crashes: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def where(self) -> tuple[str, str] | None:
        return self.trace[self.at - 1] if 0 < self.at <= len(self.trace) else None


_plan: ContextVar[tuple[System, list[Plan]]] = ContextVar("plan")


def follow(system: System) -> list[Plan]:
    """From here on, what this task starts obeys the last plan in the list that is returned."""
    plans: list[Plan] = []
    _plan.set((system, plans))
    failpoints.hook = _reached
    return plans


async def _reached(context: str, place: str) -> None:
    system, plans = _plan.get()
    if not plans or context not in plans[-1].only:
        return
    plan = plans[-1]
    if plan.place not in ("", place):
        return
    plan.trace.append((context, place))
    if len(plan.trace) != plan.at:
        return
    if plan.lost:
        if place == COMMIT:
            raise CommitInDoubt
        return
    plan.crashes.append(asyncio.create_task(_crash(system, context)))
    await asyncio.Event().wait()


async def _crash(system: System, context: str) -> None:
    await system.kill(context)
    await system.start(context)
