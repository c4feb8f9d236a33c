"""A town with the shop at work, whose books must balance when a file of stories is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.shop.selling import SHOP, discrepancies, ordered, product
from tests.support.town import Town, customer

QUICK = {"shop_preparing_seconds": 0, "shop_stock_ms": 1000}


@asynccontextmanager
async def town_with(make_settings: MakeSettings, *more: str, **settings: Any) -> AsyncIterator[Town]:
    """Payments and the shop, in which an order was taken; `more` names further contexts."""
    town = await Town(await make_settings(**QUICK, **settings), "shop").open()
    await town.start("payments", *SHOP, *more)
    await ordered(town, await product(town))
    try:
        yield town
        assert await discrepancies(town) == []
    finally:
        await town.close()


@pytest.fixture(scope="module")
async def town(make_settings: MakeSettings) -> AsyncIterator[Town]:
    """Shared by the stories of a file."""
    async with town_with(make_settings) as running:
        yield running


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
