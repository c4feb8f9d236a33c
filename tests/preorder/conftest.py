"""A system with phone pre-order, without discrepancies when a file of tests is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.conftest import MakeSettings
from tests.preorder.helpers import CONTEXTS, discrepancies, known_product, reserve
from tests.support.running_system import running_system
from tests.support.system import System

TIMES = {"payments_provider_ms": 600, "payments_slow_seconds": 1.2, "preorder_payment_ms": 1500}
"""Short enough to wait for, and long enough that an approval comes in time on a busy machine."""


def system_with(make_settings: MakeSettings, *more: str, **settings: Any) -> AbstractAsyncContextManager[System]:
    """A system with phone pre-order and `more` contexts, once a reservation was done."""
    made = make_settings(**(TIMES | settings))
    return running_system(made, "preorder", (*CONTEXTS, *more), ready=can_reserve, discrepancies=discrepancies)


async def can_reserve(system: System) -> bool:
    return (await system.outcome(reserve(await known_product(system))))[0] == "done"


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """The contexts of phone pre-order, shared by the tests of a file."""
    async with system_with(make_settings) as running:
        yield running
