"""What the stories share: people, and the books that must balance when a file of stories is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Caller
from tests.conftest import MakeSettings
from tests.flows.renting import attempt, discrepancies
from tests.support.system import System, customer

PATIENT = {"payments_provider_ms": 600, "payments_slow_seconds": 1.2, "video_rental_payment_ms": 1500}
"""Short enough to wait for, long enough that a busy machine does not make an approval look like silence."""


@asynccontextmanager
async def system_with(make_settings: MakeSettings, **settings: Any) -> AsyncIterator[System]:
    """A system at work, in which a booking has gone through; its books must balance in the end."""
    system = await System(await make_settings(**PATIENT, **settings), "video_rental").open()
    await system.start(*system.names)
    while (await attempt(system, system.booking(await system.video()), id=uuid4()))[0] != "done":
        pass
    try:
        yield system
        assert await discrepancies(system) == []
    finally:
        await system.close()


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts at work, shared by the stories of a file."""
    async with system_with(make_settings) as running:
        yield running


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
