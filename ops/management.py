"""What the broker's management API shows of the system."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from workers.runtime.settings import Settings

COLUMNS = "name,messages,messages_ready,messages_unacknowledged,consumers"
CONNECTION_ERRORS = (httpx.HTTPError, OSError, ValueError)


class NoApiError(Exception):
    """No management API is configured."""

    def __init__(self) -> None:
        super().__init__("YEYAK_RABBITMQ_API is not set")


def vhost(settings: Settings) -> str:
    """The virtual host of the system."""
    path = urlsplit(settings.amqp_url.get_secret_value()).path
    return unquote(path[1:]) or "/"


def client(settings: Settings, timeout: float = 5.0) -> httpx.AsyncClient:
    """A client of the management API; raises NoApiError."""
    if settings.rabbitmq_api is None:
        raise NoApiError
    parts = urlsplit(settings.rabbitmq_api.get_secret_value())
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpx.AsyncClient(base_url=address, auth=login, timeout=timeout, trust_env=False)


async def queues(api: httpx.AsyncClient, settings: Settings) -> list[dict[str, Any]]:
    """Every queue of the virtual host; counts are some seconds old."""
    return await _get(api, f"/api/queues/{quote(vhost(settings), safe='')}?columns={COLUMNS}")


async def connections(api: httpx.AsyncClient, settings: Settings) -> list[dict[str, Any]]:
    """Every connection to the virtual host, with the name that its owner gave it."""
    return await _get(
        api, f"/api/vhosts/{quote(vhost(settings), safe='')}/connections?columns=user_provided_name,state,connected_at"
    )


async def _get(api: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    answer = (await api.get(path)).raise_for_status().json()
    if not isinstance(answer, list):
        raise ValueError(f"the management API answered {path} with no list")
    return answer
