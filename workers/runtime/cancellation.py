"""Cancellations that nobody asked of this task.

A client library cancels what waits for its connection when that is lost. Such a CancelledError is the failure of one
piece of work; raised on, it would end the loop or the batch that the work belongs to.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class WaitCancelled(Exception):
    """What a task waited for was cancelled, and the task was not."""


class foreign_cancellation_as_error:  # used as a function is, like contextlib.suppress
    """Raise WaitCancelled for a CancelledError unless this task is being cancelled."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None or not issubclass(kind, asyncio.CancelledError):
            return
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise WaitCancelled(repr(error)) from error
