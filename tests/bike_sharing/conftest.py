"""A system with bike sharing, without discrepancies when a file of tests is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.bike_sharing.helpers import CONTEXTS, discrepancies, top_up
from tests.conftest import MakeSettings
from tests.support.running_system import running_system
from tests.support.system import System, customer

TIMES = {
    "payments_provider_ms": 600,
    "payments_slow_seconds": 1.2,
    "bike_sharing_payment_ms": 1500,
    "bike_sharing_take_ms": 1500,
    "bike_sharing_holder_check_seconds": 3600,
}
"""Short enough to wait for, and long enough for a busy machine; unconfirmed holds are not checked during a test."""


def system_with(make_settings: MakeSettings, **settings: Any) -> AbstractAsyncContextManager[System]:
    """A system with bike sharing, once a top-up was done."""
    made = make_settings(**(TIMES | settings))
    return running_system(made, "bike_sharing", CONTEXTS, ready=_tops_up, discrepancies=discrepancies)


async def _tops_up(system: System) -> bool:
    return (await system.outcome(top_up(customer(), 1000)))[0] == "done"


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts of bike sharing, shared by the tests of a file."""
    async with system_with(make_settings) as running:
        yield running
