"""The lab: one context on real servers, for each test anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import MakeSettings
from tests.runtime.harness import Lab
from workers.runtime.worker import Worker


@pytest.fixture(scope="module")
async def own_lab(make_settings: MakeSettings) -> AsyncIterator[Lab]:
    lab = await Lab(await make_settings()).open()
    yield lab
    await lab.close()


@pytest.fixture
async def lab(own_lab: Lab) -> AsyncIterator[Lab]:
    """A place for contexts; what they did is forgotten afterwards."""
    yield own_lab
    await own_lab.rest()


@pytest.fixture
def worker() -> Worker:
    """The lab's worker, without handlers."""
    return Worker("lab", resolves_dead_letters=False)
