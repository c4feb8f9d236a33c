"""Checks that the queues of a context exist, and binds them again: no client can see a missing binding."""

from __future__ import annotations

import structlog

from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.subscriptions import QueueOwner
from workers.runtime.observability.log_events import QUEUES_MISSING, QUEUES_RESTORED

log = structlog.get_logger()


class QueueCheck:
    """The queues of one context, as they were found last."""

    def __init__(self, owner: QueueOwner, broker: Broker) -> None:
        self._owner = owner
        self._broker = broker
        self.missing: list[str] = []
        """Queues that the broker does not have."""

    async def check(self) -> bool:
        """Find missing queues and bind the others; True when some were missing and all are back."""
        missing = []
        for queue, subscription in self._owner.queues().items():
            if await self._broker.inspect_queue(queue) is None:
                missing.append(queue)
                continue
            for key in subscription.keys:
                await self._broker.bind(queue, subscription.message.exchange, key)
        if missing:
            log.error(QUEUES_MISSING, context=self._broker.name, queues=missing, remedy="yeyak topology apply")
        restored = bool(self.missing) and not missing
        if restored:
            log.warning(QUEUES_RESTORED, context=self._broker.name)
        self.missing = missing
        return restored
