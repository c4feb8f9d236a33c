"""The sample: one context on real servers, for each test anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conftest import MakeSettings
from tests.runtime.harness import RuntimeHarness
from workers.runtime.worker import Worker


@pytest.fixture(scope="module")
async def module_harness(make_settings: MakeSettings) -> AsyncIterator[RuntimeHarness]:
    harness = await RuntimeHarness(await make_settings()).open()
    yield harness
    await harness.close()


@pytest.fixture
async def harness(module_harness: RuntimeHarness) -> AsyncIterator[RuntimeHarness]:
    """A place for contexts; what they did is forgotten afterwards."""
    yield module_harness
    await module_harness.reset()


@pytest.fixture
def worker() -> Worker:
    """The sample's worker, without handlers."""
    return Worker("sample", resolves_dead_letters=False)
