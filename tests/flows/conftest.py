"""A system with video rental, without discrepancies when a file of tests is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.conftest import MakeSettings
from tests.flows.helpers import discrepancies
from tests.support.running_system import running_system
from tests.support.system import System, contexts_of

TIMES = {"payments_provider_ms": 600, "payments_slow_seconds": 1.2, "video_rental_payment_ms": 1500}
"""Short enough to wait for, and long enough that an approval comes in time on a busy machine."""


def system_with(make_settings: MakeSettings, **settings: Any) -> AbstractAsyncContextManager[System]:
    """A system with video rental, once a booking was done."""
    made, contexts = make_settings(**(TIMES | settings)), contexts_of("video_rental")
    return running_system(made, "video_rental", contexts, ready=can_book, discrepancies=discrepancies)


async def can_book(system: System) -> bool:
    return (await system.outcome(system.booking(await system.video())))[0] == "done"


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts of video rental, shared by the tests of a file."""
    async with system_with(make_settings) as running:
        yield running
