"""A system with the shop, without discrepancies when a file of tests is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.conftest import MakeSettings
from tests.shop.helpers import CONTEXTS, awaiting_payment, discrepancies, known_product
from tests.support.running_system import running_system
from tests.support.system import System

TIMES = {"shop_preparing_seconds": 0, "shop_stock_ms": 1000}


def system_with(make_settings: MakeSettings, *more: str, **settings: Any) -> AbstractAsyncContextManager[System]:
    """A system with the shop and `more` contexts, once an order awaits its payment."""
    made = make_settings(**(TIMES | settings))
    return running_system(made, "shop", (*CONTEXTS, *more), ready=can_order, discrepancies=discrepancies)


async def can_order(system: System) -> bool:
    return bool(await awaiting_payment(system, await known_product(system)))


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """The contexts of the shop, shared by the tests of a file."""
    async with system_with(make_settings) as running:
        yield running
