"""The harness of the runtime's tests: the sample context on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from tests.conftest import MakeSettings
from tests.runtime.harness import RuntimeHarness
from workers.runtime.worker import Worker

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
"""With every local variable, as structlog shows tracebacks by default, a test of many failures takes minutes."""


@pytest.fixture(scope="module")
async def module_harness(make_settings: MakeSettings) -> AsyncIterator[RuntimeHarness]:
    harness = await RuntimeHarness(await make_settings()).open()
    yield harness
    await harness.close()


@pytest.fixture
async def harness(module_harness: RuntimeHarness) -> AsyncIterator[RuntimeHarness]:
    """A harness that stops its contexts and empties their tables after each test."""
    yield module_harness
    await module_harness.reset()


@pytest.fixture
def worker() -> Worker:
    """The worker of the sample context, without handlers."""
    return Worker("sample", resolves_dead_letters=False)
