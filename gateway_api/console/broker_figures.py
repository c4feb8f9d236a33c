"""What RabbitMQ's management API tells an operator: queues, and the system's backlog over the last hour."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from workers.runtime.settings import Settings

STREAM = "yeyak.journal"
"""It keeps what was read: its length is no backlog."""
PASSING = re.compile(rf"^{re.escape(STREAM)}$|@replies$|^yeyak\.live\.")
"""Queues that belong to a process and go with it, and the stream."""
COLUMNS = "name,messages_ready,messages_unacknowledged,consumers,type"
HOUR = "lengths_age=3600&lengths_incr=60"
WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Queue:
    name: str
    backlog: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Broker:
    """What could be read; `away` says that nothing could."""

    queues: list[Queue] = field(default_factory=list)
    backlog: list[tuple[int, int]] = field(default_factory=list)
    """(seconds since 1970, messages that waited), oldest first."""
    away: bool = False


async def look(settings: Settings) -> Broker:
    """Ask the management API; `away` when it is not configured, or does not answer."""
    if settings.rabbitmq_api is None:
        return Broker(away=True)
    parts = urlsplit(settings.rabbitmq_api.get_secret_value())
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    vhost = quote(unquote(urlsplit(settings.amqp_url.get_secret_value()).path[1:]) or "/", safe="")
    try:
        async with httpx.AsyncClient(base_url=address, auth=login, timeout=WAIT_SECONDS, trust_env=False) as api:
            queues = (await api.get(f"/api/queues/{vhost}?columns={COLUMNS}")).raise_for_status().json()
            whole = (await api.get(f"/api/overview?{HOUR}")).raise_for_status().json()["queue_totals"]
            stream = (await api.get(f"/api/queues/{vhost}/{STREAM}?{HOUR}")).raise_for_status().json()
        return Broker([_queue(one) for one in queues if not PASSING.search(one["name"])], _over_time(whole, stream))
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return Broker(away=True)


def _queue(told: dict[str, Any]) -> Queue:
    waiting = told.get("messages_ready", 0) + told.get("messages_unacknowledged", 0)
    return Queue(told["name"], waiting, told.get("consumers", 0))


def _over_time(whole: dict[str, Any], stream: dict[str, Any]) -> list[tuple[int, int]]:
    kept = {sample["timestamp"]: sample["sample"] for sample in _samples(stream)}
    samples = ((one["timestamp"], one["sample"] - kept.get(one["timestamp"], one["sample"])) for one in _samples(whole))
    return sorted((stamp // 1000, max(0, waiting)) for stamp, waiting in samples)


def _samples(told: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = told.get("messages_details", {}).get("samples", [])
    return found
