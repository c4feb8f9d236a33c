"""What the stories of bike sharing share: people, and the books that must balance when a file of stories is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.base import Caller
from contracts.bike_sharing.deposits import TopUpDeposit
from tests.bike_sharing.riding import SYSTEM, attempt, discrepancies
from tests.conftest import MakeSettings
from tests.support.system import System, card, customer

PATIENT = {
    "payments_provider_ms": 600,
    "payments_slow_seconds": 1.2,
    "bike_sharing_payment_ms": 1500,
    "bike_sharing_take_ms": 1500,
    "bike_sharing_ask_holder_seconds": 3600,
}
"""Short enough to wait for, long enough that a busy machine does not make an answer look like silence;
and no query to holders that would be under way for a minute."""


@asynccontextmanager
async def bike_system(make_settings: MakeSettings, **settings: Any) -> AsyncIterator[System]:
    """A system of bikes at work, in which a top-up has gone through; its books must balance in the end."""
    system = await System(await make_settings(**(PATIENT | settings)), "bike_sharing").open()
    await system.start(*SYSTEM)
    while (await attempt(system, TopUpDeposit(amount=1000, payment=card(), caller=customer())))[0] != "done":
        pass
    try:
        yield system
        await system.wait_until_idle()
        assert await discrepancies(system) == []
    finally:
        await system.close()


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts of bike sharing at work, shared by the stories of a file."""
    async with bike_system(make_settings) as running:
        yield running


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
