"""A delivery, and the one place where every delivery ends.

Whatever is raised while a message is handled, its delivery is acknowledged, given back after a growing delay, or sent
to the dead-letter exchange with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol

import structlog

from workers.runtime.messaging.errors import BROKER_ERRORS, Unroutable
from workers.runtime.observability.log_events import DELIVERY_FAILED, MESSAGE_REJECTED

log = structlog.get_logger()

FIRST_DELAY, LONGEST_DELAY = 0.5, 5.0
"""Seconds before a delivery is given back; they double with each redelivery that the broker counts."""
SETTLE_SECONDS = 10.0


class Disposition(Enum):
    """How a delivery is to end."""

    ACKNOWLEDGE = "acknowledge"
    REQUEUE = "requeue"
    DEAD_LETTER = "dead_letter"


class Settler(Protocol):
    """What a delivery needs of the connections."""

    def acknowledge_at_once(self, raw: Any) -> bool:
        """Acknowledge without giving way to another task; False when only `acknowledge` can."""
        ...

    async def acknowledge(self, raw: Any) -> None: ...

    async def dead_letter(self, raw: Any, queue: str, reason: str) -> None: ...


class Delivery:
    """One message as it was delivered from a queue; nothing decided means that it is given back."""

    __slots__ = ("_ended", "disposition", "queue", "raw", "reason", "received")

    def __init__(self, raw: Any, queue: str) -> None:
        self.raw = raw
        self.queue = queue
        self.received = time.monotonic()
        self.disposition = Disposition.REQUEUE
        self.reason = ""
        self._ended = False

    def acknowledge(self) -> None:
        """It was handled, or will be handled from the inbox."""
        self.disposition = Disposition.ACKNOWLEDGE

    def requeue(self, reason: str) -> None:
        """It could not be handled now."""
        self.disposition, self.reason = Disposition.REQUEUE, reason

    def dead_letter(self, reason: str) -> None:
        """It can never be handled."""
        self.disposition, self.reason = Disposition.DEAD_LETTER, reason

    async def release(self, settler: Settler) -> None:
        """Acknowledge before the end: the message waits here and holds no delivery slot.

        For a request, whose loss is an unknown outcome and never a wrong one, and for what the inbox will resume.
        """
        if self._ended:
            return
        self._ended = True
        try:
            await settler.acknowledge(self.raw)
        except asyncio.CancelledError:
            self._ended = False
            raise
        except Exception as error:
            self._ended = False  # it is ended after its handler
            log.warning(DELIVERY_FAILED, queue=self.queue, error=_described(error))

    @property
    def ended(self) -> bool:
        return self._ended

    def mark_ended(self) -> None:
        """Others have acknowledged it, with its batch."""
        self._ended = True

    def delay(self) -> float:
        """Seconds to wait before it is given back."""
        headers = self.raw.headers
        count = headers.get("x-delivery-count") if isinstance(headers, dict) else None
        times = count if isinstance(count, int) else int(bool(self.raw.redelivered))
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(times, 10))

    async def handle(self, handler: Callable[[Delivery], Awaitable[None]], settler: Settler) -> None:
        """Run the handler, which decides how the delivery ends, and end it; raises CancelledError only."""
        try:
            await handler(self)
        except asyncio.CancelledError:
            self.requeue("cancelled")
            raise
        except BaseException as error:  # the delivery ends, whatever it is; a process that must end is ended elsewhere
            self.requeue(_described(error))
            log.exception(DELIVERY_FAILED, queue=self.queue, error=self.reason)
        finally:
            await self.settle(settler)

    async def settle(self, settler: Settler) -> None:
        """End the delivery, once; when its channel is gone the broker delivers it again."""
        if self._ended:
            return
        self._ended = True
        if self._acknowledged_at_once(settler):
            return
        settling = asyncio.ensure_future(self._settle(settler))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(settling, 1)
            raise

    def _acknowledged_at_once(self, settler: Settler) -> bool:
        if self.disposition is not Disposition.ACKNOWLEDGE:
            return False
        try:
            return settler.acknowledge_at_once(self.raw)
        except BaseException:  # whatever it is, `_settle` ends the delivery
            return False

    async def _settle(self, settler: Settler) -> None:
        try:
            if self.disposition is Disposition.ACKNOWLEDGE:
                await settler.acknowledge(self.raw)
                return
            if self.disposition is Disposition.DEAD_LETTER and await self._dead_letter(settler):
                return
            await asyncio.sleep(self.delay())
        except (Exception, asyncio.CancelledError) as error:  # the library cancels what waits when a channel closes
            log.warning(DELIVERY_FAILED, queue=self.queue, error=_described(error))
        await self._give_back()

    async def _dead_letter(self, settler: Settler) -> bool:
        log.error(MESSAGE_REJECTED, queue=self.queue, reason=self.reason)
        try:
            await settler.dead_letter(self.raw, self.queue, self.reason)
        except (Unroutable, *BROKER_ERRORS) as error:
            log.warning(DELIVERY_FAILED, queue=self.queue, error=_described(error))
            return False
        await settler.acknowledge(self.raw)
        return True

    async def _give_back(self) -> None:
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self.raw.nack(requeue=True)
        except Exception as error:  # the channel is gone: the broker delivers it again
            log.info(DELIVERY_FAILED, queue=self.queue, error=_described(error))


def _described(error: BaseException) -> str:
    """The error's `repr`, which some of the library's exceptions fail to make."""
    try:
        return repr(error)
    except Exception:
        return type(error).__name__
