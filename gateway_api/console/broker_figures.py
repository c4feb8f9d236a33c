"""Figures of the broker for operators: queues with their backlog now, and the whole backlog over the last hour."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gateway_api.settings import GatewaySettings
from workers.runtime.messaging.exchanges import SESSION_STREAM, STREAM, STREAMS
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable

NOT_SHOWN = re.compile(rf"^({'|'.join(map(re.escape, STREAMS))})$|@replies$|^yeyak\.live\.")
"""The streams, and queues that one process declares for itself and that are deleted with it."""
AGE_SECONDS, STEP_SECONDS = 3600, 60
TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """`backlog` is the number of ready and of unacknowledged messages."""

    name: str
    backlog: int
    consumers: int


@dataclass(frozen=True, slots=True)
class BrokerFigures:
    """`available` is false when the management API is not configured or did not answer; then there are no figures."""

    queues: list[QueueFigures] = field(default_factory=list)
    backlog: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of seconds since 1970 and the number of messages in all queues but the streams, oldest first."""
    available: bool = True


async def read(settings: GatewaySettings) -> BrokerFigures:
    """Read the figures from the management API; raises nothing when it is not available."""
    history = {"age_seconds": AGE_SECONDS, "step_seconds": STEP_SECONDS}
    try:
        async with ManagementClient(settings, TIMEOUT_SECONDS) as api:
            queues = await api.queues()
            total = await api.total_lengths(**history)
            journal = await api.queue_lengths(STREAM, **history)
            sessions = await api.queue_lengths(SESSION_STREAM, **history)
    except ManagementUnavailable:
        return BrokerFigures(available=False)
    return BrokerFigures(
        [_figures(queue) for queue in queues if not NOT_SHOWN.search(queue["name"])], _backlog(total, journal, sessions)
    )


def _figures(queue: dict[str, Any]) -> QueueFigures:
    backlog = queue.get("messages_ready", 0) + queue.get("messages_unacknowledged", 0)
    return QueueFigures(queue["name"], backlog, queue.get("consumers", 0))


def _backlog(total: dict[int, int], journal: dict[int, int], sessions: dict[int, int]) -> list[tuple[int, int]]:
    """Total lengths less those of the streams; a sample that the journal does not have counts as no backlog."""
    return sorted(
        (at // 1000, max(0, length - journal.get(at, length) - sessions.get(at, 0))) for at, length in total.items()
    )
