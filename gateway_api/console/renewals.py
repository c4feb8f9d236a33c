"""One renewal of tokens for all requests of a session that need it: an issuer may accept a refresh token only once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Renewed = TypeVar("Renewed")
Key = tuple[str, ...]

KEEP_SECONDS = 60.0
"""How long requests that were sent with the old cookie get the new tokens."""
RETRY_SECONDS = 5.0
"""After which the issuer is tried again when it did not answer."""


class Renewals(Generic[Renewed]):
    """Calls `renew` once for a key, and returns its result to everybody who comes within `KEEP_SECONDS`."""

    def __init__(self, renew: Callable[[Renewed], Awaitable[Renewed | None]]) -> None:
        self._renew = renew
        self._tasks: dict[Key, asyncio.Task[Renewed | None]] = {}

    async def of(self, key: Key, old: Renewed) -> Renewed | None:
        """Return what `renew` returns for `old`; raises what it raises."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._run(old))
            task.add_done_callback(lambda done: self._forget_later(key, done))
        return await asyncio.shield(task)

    async def _run(self, old: Renewed) -> Renewed | None:
        return await self._renew(old)

    def _forget_later(self, key: Key, done: asyncio.Task[Renewed | None]) -> None:
        failed = done.cancelled() or done.exception() is not None
        asyncio.get_running_loop().call_later(RETRY_SECONDS if failed else KEEP_SECONDS, self._tasks.pop, key, None)
