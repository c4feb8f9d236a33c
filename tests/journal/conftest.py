"""A system in which only the journal runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.system import System


@pytest.fixture
async def journal_system(make_settings) -> AsyncIterator[System]:
    """A system of its own in which no context runs yet; a test starts the journal."""
    system = await System(await make_settings(), "video_rental").open()
    yield system
    await system.close()


@pytest.fixture
async def journal(journal_system: System) -> System:
    await journal_system.start("journal")
    return journal_system
