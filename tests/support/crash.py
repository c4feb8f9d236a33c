"""Crashes: a runtime that ends as `kill -9` would end it, and crashes at planned places of several systems at once."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from storage.database import CommitInDoubt
from workers.runtime.processing import failpoints
from workers.runtime.processing.worker_runtime import WorkerRuntime

if TYPE_CHECKING:
    from tests.support.system import System

COMMIT = "commit lost?"


async def kill(runtime: WorkerRuntime) -> None:
    """End a runtime as `kill -9` would: it finishes, acknowledges and publishes nothing any more.

    With `is_handling` the only place of the business tests that reaches into a runtime.
    """
    running: Any = runtime
    is_view = hasattr(running, "store")
    current = asyncio.current_task()
    tasks = [*runtime.deliveries, *running._tasks, *running.outbox._tasks, running.availability._probe]
    tasks = [task for task in (*tasks, running._applying if is_view else None) if task not in (None, current)]
    for task in tasks:
        task.cancel()
    await running.database.stop()
    await runtime.broker.disconnect()
    for task in runtime.deliveries:  # delivered meanwhile
        task.cancel()
    if is_view:
        await running.store.close()
        return
    for task in tasks:
        with contextlib.suppress(BaseException):
            await task
    await running._stack.aclose()


def is_handling(runtime: WorkerRuntime) -> bool:
    """Whether a runtime handles a message now; a view handles those that wait for their batch."""
    arrived: Any = getattr(runtime, "_arrived", None)
    return bool(runtime.deliveries or (arrived is not None and arrived._unfinished_tasks))


@dataclass
class Plan:
    """Where one run crashes: at the k-th place that it reaches; with `lost` the answer to a COMMIT is lost instead."""

    at: int = 0
    lost: bool = False
    place: str = ""
    """Count only this place."""
    only: frozenset[str] = frozenset({"payments", "video_rental.rentals"})
    """Count only places of these contexts."""
    trace: list[tuple[str, str]] = field(default_factory=list)
    """The contexts and places that were reached."""
    crashes: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def where(self) -> tuple[str, str] | None:
        return self.trace[self.at - 1] if 0 < self.at <= len(self.trace) else None


_plan: ContextVar[tuple[System, list[Plan]]] = ContextVar("plan")


def follow(system: System) -> list[Plan]:
    """Crash what this task starts from here on by the last plan in the list that is returned."""
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
