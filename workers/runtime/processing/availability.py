"""Whether the database can be read and written; handlers wait here with their messages while it cannot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from workers.runtime.observability.log_events import DATABASE_AVAILABLE, DATABASE_UNAVAILABLE

log = structlog.get_logger()


Ping = Callable[[], Awaitable[None]]
"""Raises while the database cannot be used."""


class DatabaseAvailability:
    """Available while the database answers; once lost, it is pinged until it answers again."""

    def __init__(self, name: str, ping: Ping) -> None:
        self._name = name
        self._ping = ping
        self._available = asyncio.Event()
        self._available.set()
        self._probe: asyncio.Task[None] | None = None
        self.error = ""
        """The last error, while the database is unavailable."""

    @property
    def is_available(self) -> bool:
        return self._available.is_set()

    def lost(self, error: BaseException) -> None:
        """Note that the database was lost: `wait` returns once it has answered again."""
        if self._probe is None or self._probe.done():
            log.warning(DATABASE_UNAVAILABLE, context=self._name, error=repr(error))
            self._available.clear()
            self.error = repr(error)
            self._probe = asyncio.create_task(self._probe_until_available())

    async def check(self) -> None:
        """Find out whether the database was lost while nothing used it."""
        try:
            await self._ping()
        except TimeoutError:
            pass  # a migration may hold a lock for a moment
        except Exception as error:
            self.lost(error)

    async def _probe_until_available(self) -> None:
        delay = 0.05
        while True:
            try:
                await self._ping()
            except Exception as error:
                self.error = repr(error)
                await asyncio.sleep(delay)
                delay = min(1.0, delay * 2)
            else:
                break
        self._available.set()
        log.info(DATABASE_AVAILABLE, context=self._name)

    async def wait(self, patience: float) -> bool:
        """Wait until the database is available; False when `patience` seconds were not enough."""
        if self._available.is_set():
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._available.wait()
        return self._available.is_set()

    def stop(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
