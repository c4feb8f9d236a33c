"""A client of the gateway's own API inside this process; it sends the visitor's token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import from_json, to_json
from starlette.types import ASGIApp

from gateway_api.console.session import Visitor


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response of the API; `body` is its JSON object."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    location: str = ""
    retry_after: str = ""
    is_read: bool = False
    """Whether the request was a GET, which changes nothing."""

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.body.get("items", [])
        return items

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class InternalApi:
    """Sends requests to the ASGI app of the gateway; no socket is opened."""

    def __init__(self, app: ASGIApp) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console", timeout=None)

    async def get(self, visitor: Visitor, path: str) -> ApiResponse:
        return await self.send(visitor, "GET", path)

    async def send(
        self, visitor: Visitor, method: str, path: str, body: dict[str, Any] | None = None, key: str = ""
    ) -> ApiResponse:
        """Send one request as the visitor; `key` is its idempotency key."""
        headers: dict[str, str] = {"accept-language": visitor.language}
        if visitor.token:
            headers["authorization"] = f"Bearer {visitor.token}"
        if key:
            headers["idempotency-key"] = key
        content = to_json(body) if body else None
        response = await self._client.request(method, path, headers=headers, content=content)
        json = from_json(response.content) if response.content else {}
        return ApiResponse(
            response.status_code,
            json,
            response.headers.get("location", ""),
            response.headers.get("retry-after", ""),
            is_read=method == "GET",
        )
