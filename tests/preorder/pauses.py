"""Places at which a context waits until a test lets it go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from workers.runtime.processing import failpoints


class Pause:
    """A context that waits at a place."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = asyncio.Event()


@asynccontextmanager
async def paused(monkeypatch: pytest.MonkeyPatch, context: str, place: str) -> AsyncIterator[Pause]:
    """The first to reach the place waits there until `released` is set, or the block ends."""
    pause = Pause()

    async def hold(where: str, what: str) -> None:
        if (where, what) == (context, place) and not pause.reached.is_set():
            pause.reached.set()
            await pause.released.wait()

    monkeypatch.setattr(failpoints, "hook", hold)
    try:
        yield pause
    finally:
        pause.released.set()
    assert pause.reached.is_set()
