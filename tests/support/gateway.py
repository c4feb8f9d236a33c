"""The gateway of a system, inside the test's process, and requests to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from contracts.base import Caller
from gateway_api import tokens
from gateway_api.app import build
from tests.support import declared
from tests.support.system import System

KEY = "a-key-for-tests-that-has-at-least-32-bytes"
GATEWAY: dict[str, Any] = {"jwt_key": KEY, "gateway_rate": 0}
"""Settings of a system whose gateway is used: the key of its tokens, and no rate limit."""


@asynccontextmanager
async def http_client(system: System, base: str = "") -> AsyncIterator[httpx.AsyncClient]:
    """A client of the system's gateway, which needs no port; `base` is the beginning of every path.

    Every answer must be one that the OpenAPI document declares.
    """
    transport = httpx.ASGITransport(build(system.rpc, system.settings), raise_app_exceptions=False)
    hooks: Any = {"response": [declared.check]}
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://gateway{base}", timeout=30, event_hooks=hooks
    ) as http:
        yield http


async def send(
    http: httpx.AsyncClient,
    caller: Caller,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str = "",
    language: str = "ko",
) -> httpx.Response:
    """Send a request with the caller's token; `key` is its idempotency key."""
    token = tokens.issue(caller.member_id, caller.role, key=KEY, grade=caller.grade)
    headers = {"authorization": f"Bearer {token}", "accept-language": language}
    return await http.request(method, path, json=body, headers=headers | ({"idempotency-key": key} if key else {}))
