"""A system with the café, without discrepancies when a file of tests is over, and its gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import httpx
import pytest

from tests.cafe.helpers import CONTEXTS, discrepancies
from tests.conftest import MakeSettings
from tests.support.gateway import GATEWAY, http_client
from tests.support.gateway import send as send_request
from tests.support.running_system import running_system
from tests.support.system import System

SETTINGS = {"cafe_price_ms": 3000} | GATEWAY
"""Long enough that a busy machine does not look like a slow menu."""

Send = Callable[..., Awaitable[httpx.Response]]
"""Sends a request to the gateway: `await send(kim, "POST", "/orders", {...}, key="...")`."""


def system_with(make_settings: MakeSettings, **settings: Any) -> AbstractAsyncContextManager[System]:
    made = make_settings(**(SETTINGS | settings))
    return running_system(made, "cafe", (*CONTEXTS, "journal"), discrepancies=discrepancies)


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts of the café, shared by the tests of a file."""
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
async def send(system: System) -> AsyncIterator[Send]:
    async with http_client(system, "/v1/cafe") as http:
        yield partial(send_request, http)
