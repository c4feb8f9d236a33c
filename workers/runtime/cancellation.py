"""Cancellations that nobody asked of this task.

A client library cancels what waits for its connection when that is lost. Such a CancelledError is the failure of one
piece of work; raised on, it would end the loop or the batch that the work belongs to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class WaitCancelled(Exception):
    """What a task waited for was cancelled, and the task was not."""


@contextmanager
def foreign_cancellation_as_error() -> Iterator[None]:
    """Raise WaitCancelled for a CancelledError unless this task is being cancelled."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise WaitCancelled(repr(error)) from error
