"""A client of RabbitMQ's management HTTP API: the queues, connections and definitions of one virtual host."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, unquote, urlsplit

import httpx
from pydantic import SecretStr

TIMEOUT_SECONDS = 5.0
QUEUE_COLUMNS = "name,type,messages,messages_ready,messages_unacknowledged,consumers"
CONNECTION_COLUMNS = "user_provided_name,state,connected_at"


class ManagementUnavailable(Exception):
    """The management API is not configured, cannot be reached, or did not accept a request; the text tells which."""


class BrokerAddresses(Protocol):
    """The settings that a client needs."""

    @property
    def amqp_url(self) -> SecretStr: ...

    @property
    def rabbitmq_api(self) -> SecretStr | None: ...


class ManagementClient:
    """An async context manager; every method raises `ManagementUnavailable`.

    `vhost` is the virtual host of `amqp_url`. The user and password are taken from the URL of the API.
    """

    def __init__(self, settings: BrokerAddresses, timeout: float = TIMEOUT_SECONDS) -> None:
        if settings.rabbitmq_api is None:
            raise ManagementUnavailable("YEYAK_RABBITMQ_API is not set")
        url = urlsplit(settings.rabbitmq_api.get_secret_value())
        login = (unquote(url.username), unquote(url.password or "")) if url.username else None
        address = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
        self.vhost = unquote(urlsplit(settings.amqp_url.get_secret_value()).path[1:]) or "/"
        self._http = httpx.AsyncClient(base_url=address, auth=login, timeout=timeout, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def queues(self) -> list[dict[str, Any]]:
        """Return every queue with the fields of `QUEUE_COLUMNS`; RabbitMQ refreshes the counts every five seconds."""
        return _list(await self._get(f"/api/queues/{_quoted(self.vhost)}", columns=QUEUE_COLUMNS))

    async def queue_lengths(self, name: str, *, age_seconds: int, step_seconds: int) -> dict[int, int]:
        """Return the messages in a queue over the last `age_seconds`, by milliseconds since 1970."""
        history = {"lengths_age": age_seconds, "lengths_incr": step_seconds}
        return _samples(await self._get(f"/api/queues/{_quoted(self.vhost)}/{_quoted(name)}", **history))

    async def total_lengths(self, *, age_seconds: int, step_seconds: int) -> dict[int, int]:
        """Return the messages in all queues over the last `age_seconds`, by milliseconds since 1970."""
        history = {"lengths_age": age_seconds, "lengths_incr": step_seconds}
        overview = await self._get("/api/overview", **history)
        return _samples(overview.get("queue_totals") if isinstance(overview, dict) else None)

    async def connections(self) -> list[dict[str, Any]]:
        """Return every connection with the fields of `CONNECTION_COLUMNS`."""
        return _list(await self._get(f"/api/vhosts/{_quoted(self.vhost)}/connections", columns=CONNECTION_COLUMNS))

    async def import_definitions(self, definitions: dict[str, Any]) -> None:
        """Create or update what a `definitions.json` describes: users, permissions, queues."""
        await self._request("POST", "/api/definitions", json=definitions)

    async def create_vhost(self, vhost: str) -> None:
        await self._request("PUT", f"/api/vhosts/{_quoted(vhost)}")

    async def delete_vhost(self, vhost: str) -> None:
        await self._request("DELETE", f"/api/vhosts/{_quoted(vhost)}")

    async def declare_exchange(self, vhost: str, name: str, type: str) -> None:
        await self._request("PUT", f"/api/exchanges/{_quoted(vhost)}/{_quoted(name)}", json={"type": type})

    async def delete_exchange(self, vhost: str, name: str) -> None:
        await self._request("DELETE", f"/api/exchanges/{_quoted(vhost)}/{_quoted(name)}")

    async def _get(self, path: str, **params: str | int) -> Any:
        response = await self._request("GET", path, params=params)
        try:
            return response.json()
        except ValueError as error:
            raise ManagementUnavailable(f"the management API answered {path} with a body that is not JSON") from error

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return (await self._http.request(method, path, **options)).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ManagementUnavailable(str(error) or type(error).__name__) from error


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _list(answer: Any) -> list[dict[str, Any]]:
    if not isinstance(answer, list):
        raise ManagementUnavailable("the management API did not answer with a list")
    return answer


def _samples(statistics: Any) -> dict[int, int]:
    """The samples of `messages_details`; empty where the broker has collected none yet."""
    try:
        samples = statistics.get("messages_details", {}).get("samples", [])
        return {one["timestamp"]: one["sample"] for one in samples}
    except (AttributeError, KeyError, TypeError) as error:
        raise ManagementUnavailable("the management API did not answer with samples of queue lengths") from error
