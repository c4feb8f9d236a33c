"""A running business of which nothing is known but its name, audited at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ops.audit import audit
from ops.settings import SystemSettings
from tests.conftest import MakeSettings
from tests.support.running_system import running_system
from tests.support.system import System, contexts_of


def patient(system: str) -> dict[str, Any]:
    """Settings with which a busy machine does not look like a slow payment; a slow one is slower than that."""
    times: dict[str, Any] = {"payments_provider_ms": 1500, "payments_slow_seconds": 3.0}
    limit = f"{system}_payment_ms"
    return times | ({limit: 4000} if limit in SystemSettings.model_fields else {})


async def discrepancies(system: System) -> list[str]:
    """What the audit finds, of every invariant."""
    found = await audit(system.settings)
    return [line for lines in found.values() for line in lines]


@asynccontextmanager
async def running_business(make_settings: MakeSettings, name: str) -> AsyncIterator[System]:
    """All contexts of a business, with those that all businesses share."""
    made = make_settings(**patient(name))
    async with running_system(made, name, contexts_of(name), discrepancies=discrepancies) as running:
        yield running
