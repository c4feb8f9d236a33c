"""Where handlers wait with the messages they hold while the database is away."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

import structlog

log = structlog.get_logger()


class Pingable(Protocol):
    """A database that can be asked whether it is there."""

    async def ping(self) -> None: ...


class DatabaseAvailability:
    """Open while the database answers; when shut, it tries until the database is back."""

    def __init__(self, name: str, database: Pingable) -> None:
        self._name = name
        self._database = database
        self._open = asyncio.Event()
        self._open.set()
        self._probe: asyncio.Task[None] | None = None

    @property
    def is_available(self) -> bool:
        return self._open.is_set()

    def lost(self, error: BaseException) -> None:
        """The database is away: nobody may pass until it has answered."""
        if self._probe is None or self._probe.done():
            log.warning("the database is away", context=self._name, error=repr(error))
            self._open.clear()
            self._probe = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        delay = 0.05
        while True:
            try:
                await self._database.ping()
            except Exception:
                await asyncio.sleep(delay)
                delay = min(1.0, delay * 2)
            else:
                break
        self._open.set()
        log.info("the database is back", context=self._name)

    async def wait(self, patience: float) -> bool:
        """Wait until the gate is open; False when `patience` seconds were not enough."""
        if self._open.is_set():
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._open.wait()
        return self._open.is_set()

    def stop(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
