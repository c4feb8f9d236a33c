"""Pause a context at one of the runtime's failpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.runtime.processing import failpoints


class Pause:
    """A context that waits at a failpoint: `reached` once it is there, until `released` is set."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()


@asynccontextmanager
async def paused(context: str, place: str) -> AsyncIterator[Pause]:
    """Pause the first handler of a context that reaches a place, until `released` is set or the block ends.

    Fails when none has reached it by then.
    """
    pause, former = Pause(), failpoints.hook

    async def hold(where: str, what: str) -> None:
        if (where, what) == (context, place) and not pause.reached.is_set():
            pause.reached.set()
            await pause.released.wait()

    failpoints.hook = hold
    try:
        yield pause
    finally:
        pause.released.set()
        failpoints.hook = former
    assert pause.reached.is_set(), f"{context} did not reach {place}"


@asynccontextmanager
async def until_reached(context: str, place: str, within: float = 10.0) -> AsyncIterator[None]:
    """Wait at the end of the block until a handler of a context has reached a place."""
    async with paused(context, place) as pause:
        pause.released.set()
        yield
        await asyncio.wait_for(pause.reached.wait(), within)
