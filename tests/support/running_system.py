"""A running system of some contexts, checked at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from ops.settings import SystemSettings
from tests.support.system import System, eventually


@asynccontextmanager
async def running_system(
    settings: Awaitable[SystemSettings],
    name: str,
    contexts: Iterable[str],
    *,
    ready: Callable[[System], Awaitable[Any]] | None = None,
    discrepancies: Callable[[System], Awaitable[Any]],
) -> AsyncIterator[System]:
    """A system with these contexts, once `ready` is true; at the end there must be no discrepancies.

    Contexts that a test has stopped are started for the last check.
    """
    contexts = tuple(contexts)
    system = await System(await settings, name).open()
    try:
        await system.start(*contexts)
        if ready is not None:
            await eventually(partial(ready, system), within=60)
        yield system
        await system.start_stopped(*contexts)
        await system.wait_until_idle(within=40)
        found = await discrepancies(system)
        assert not found, found
    finally:
        await system.close()
