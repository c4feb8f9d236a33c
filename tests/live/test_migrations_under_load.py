"""Additive migrations while customers book: nobody notices."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.conftest import MakeSettings
from tests.flows.renting import discrepancies
from tests.support.load import clients_at_work
from tests.support.system import System

PATIENT = {"payments_provider_ms": 10_000, "video_rental_payment_ms": 15_000}
"""Limits that a busy machine does not reach: what fails here fails because of the migration."""


@pytest.fixture
async def patient_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """Video rental at work."""
    system = await System(await make_settings(**PATIENT), "video_rental").open()
    await system.start(*system.names)
    yield system
    await system.close()


CHANGES = (
    "alter table video_rental_rentals.rentals add column added_{n} text not null default ''",
    "alter table payments.payments add column added_{n} bigint",
    "alter table video_rental_videos.videos add column added_{n} text",
    "alter table video_rental_rentals.inbox add column added_{n} text",
    "alter table video_rental_my_page.rentals alter column status type varchar({width})",
    "alter table video_rental_my_page.generations alter column current type {integer}",
)


async def test_no_request_fails_while_tables_are_altered(patient_system: System) -> None:
    system = patient_system
    connection = await asyncpg.connect(system.settings.database_url.get_secret_value())

    async with clients_at_work(system, clients=16) as load:
        for n in range(6):
            for change in CHANGES:
                integer = ("integer", "bigint")[n % 2]
                await connection.execute(change.format(n=n, width=100 + n, integer=integer))
            await load.answered(100)
    await connection.close()

    assert load.failed == [], load.answers
    assert await discrepancies(system) == []
