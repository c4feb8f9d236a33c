"""A café at work, and people in it; when a file of stories is over, its books must balance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from contracts.base import Caller
from gateway_api.app import build
from gateway_api.tokens import issue
from ops.audit import audit
from tests.cafe.words import ALL
from tests.conftest import MakeSettings
from tests.support.system import System, customer

KEY = "a-key-for-tests-that-has-at-least-32-bytes"
PATIENT = {"cafe_price_ms": 3000, "jwt_key": SecretStr(KEY), "gateway_rate": 0}
"""Long enough that a busy machine does not look like a silent menu."""


class Door:
    """Whoever stands at the gateway's door: `await door(kim, "POST", "/orders", {...})`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def __call__(
        self, who: Caller, method: str, path: str, body: Any = None, *, key: str = "", language: str = "ko"
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {issue(who.member_id, who.role, key=KEY)}", "accept-language": language}
        if key:
            headers["idempotency-key"] = key
        return await self._http.request(method, path, json=body, headers=headers)


@asynccontextmanager
async def cafe_with(make_settings: MakeSettings, **settings: Any) -> AsyncIterator[System]:
    """A café whose audit must find nothing in the end."""
    system = await System(await make_settings(**(PATIENT | settings)), "cafe").open()
    await system.start(*ALL, "journal")
    yield system
    await system.wait_until_idle()
    assert {name: found for name, found in (await audit(system.settings)).items() if found} == {}
    await system.close()


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts of the café, shared by the stories of a file."""
    async with cafe_with(make_settings) as running:
        yield running


@pytest.fixture
async def door(system: System) -> AsyncIterator[Door]:
    """The gateway of the system."""
    transport = httpx.ASGITransport(build(system.rpc, system.settings), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://door/v1/cafe", timeout=30) as http:
        yield Door(http)


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
