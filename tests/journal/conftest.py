"""A town of which only the journal is at work."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.town import Town


@pytest.fixture
async def house(make_settings) -> AsyncIterator[Town]:
    """Alone on a broker and a database; the journal is started by whoever needs it."""
    town = await Town(await make_settings(), "video_rental").open()
    yield town
    await town.close()


@pytest.fixture
async def journal(house: Town) -> Town:
    await house.start("journal")
    return house
