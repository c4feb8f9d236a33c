"""The console's only way to the system: the API's own routes, inside this process, with the visitor's own token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import from_json, to_json
from starlette.types import ASGIApp

from gateway_api.console.session import Visitor


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An answer of the API."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    location: str = ""
    retry_after: str = ""
    looked: bool = False
    """Nothing was to be changed by what was asked."""

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body.get("items", [])
        return found

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Api:
    """Requests to the gateway's own app; no socket is opened."""

    def __init__(self, app: ASGIApp) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console", timeout=None)

    async def get(self, visitor: Visitor, path: str) -> ApiResponse:
        return await self.send(visitor, "GET", path)

    async def send(
        self, visitor: Visitor, method: str, path: str, body: dict[str, Any] | None = None, key: str = ""
    ) -> ApiResponse:
        """One request as the visitor; `key` is its idempotency key."""
        headers: dict[str, str] = {"accept-language": visitor.language}
        if visitor.token:
            headers["authorization"] = f"Bearer {visitor.token}"
        if key:
            headers["idempotency-key"] = key
        content = to_json(body) if body else None
        answer = await self._client.request(method, path, headers=headers, content=content)
        found = from_json(answer.content) if answer.content else {}
        return ApiResponse(
            answer.status_code,
            found,
            answer.headers.get("location", ""),
            answer.headers.get("retry-after", ""),
            looked=method == "GET",
        )
