"""A system with the shop at work, whose books must balance when a file of stories is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.shop.selling import SHOP, discrepancies, ordered, product
from tests.support.system import System, customer

QUICK = {"shop_preparing_seconds": 0, "shop_stock_ms": 1000}


@asynccontextmanager
async def system_with(make_settings: MakeSettings, *more: str, **settings: Any) -> AsyncIterator[System]:
    """Payments and the shop, in which an order was taken; `more` names further contexts."""
    system = await System(await make_settings(**QUICK, **settings), "shop").open()
    await system.start("payments", *SHOP, *more)
    await ordered(system, await product(system))
    try:
        yield system
        assert await discrepancies(system) == []
    finally:
        await system.close()


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """Shared by the stories of a file."""
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
