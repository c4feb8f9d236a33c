"""A system of which only the journal is at work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.system import System


@pytest.fixture
async def house(make_settings) -> AsyncIterator[System]:
    """Alone on a broker and a database; the journal is started by whoever needs it."""
    system = await System(await make_settings(), "video_rental").open()
    yield system
    await system.close()


@pytest.fixture
async def journal(house: System) -> System:
    await house.start("journal")
    return house
