"""A café at work, and people in it; when a file of stories is over, its books must balance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.base import Caller
from ops.audit import audit
from tests.cafe.words import ALL
from tests.conftest import MakeSettings
from tests.support.town import Town, customer

PATIENT = {"cafe_price_ms": 3000}
"""Long enough that a busy machine does not look like a silent menu."""


@asynccontextmanager
async def cafe_with(make_settings: MakeSettings, **settings: Any) -> AsyncIterator[Town]:
    """A café whose audit must find nothing in the end."""
    town = await Town(await make_settings(**(PATIENT | settings))).open()
    await town.start(*ALL, "journal")
    yield town
    await town.quiet()
    assert {name: found for name, found in (await audit(town.settings)).items() if found} == {}
    await town.close()


@pytest.fixture(scope="module")
async def town(make_settings: MakeSettings) -> AsyncIterator[Town]:
    """All contexts of the café, shared by the stories of a file."""
    async with cafe_with(make_settings) as running:
        yield running


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
