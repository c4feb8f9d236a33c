"""Additive migrations while customers book: no request fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from storage.migrations import migrate
from storage.migrations.locks import LockPolicy
from tests.conftest import MakeSettings
from tests.flows.helpers import discrepancies
from tests.support.load import clients_at_work
from tests.support.revisions import add_revision
from tests.support.system import System, eventually

PATIENT = {"payments_provider_ms": 10_000, "video_rental_payment_ms": 15_000}
"""Limits that a busy machine does not reach: what fails here fails because of the migration."""


@pytest.fixture
async def patient_system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """Video rental at work."""
    system = await System(await make_settings(**PATIENT), "video_rental").open()
    await system.start(*system.names)
    yield system
    await system.close()


LOCKS = LockPolicy(first_wait=0.05, longest_wait=0.2, first_pause=0.05, longest_pause=0.5, patience=120)

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
        for n in range(3):
            for change in CHANGES:
                integer = ("integer", "bigint")[n % 2]
                await connection.execute(change.format(n=n, width=100 + n, integer=integer))
            await load.answered(60)
    await connection.close()

    await system.wait_until_idle(within=60)
    assert load.failed == [], load.answers
    assert await discrepancies(system) == []


async def test_a_migration_waits_for_a_session_that_reads_and_customers_do_not_wait_for_the_migration(
    patient_system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = patient_system
    url = system.settings.database_url.get_secret_value()
    add_revision("payments", "alter table payments add column added text", to=tmp_path, monkeypatch=monkeypatch)
    dump = await asyncpg.connect(url, server_settings={"application_name": "pg_dump"})
    pid = dump.get_server_pid()
    await dump.execute("begin")
    await dump.fetch("select * from payments.payments")
    printed: list[str] = []

    async def tried_again() -> bool:
        return len(printed) >= 5

    async with clients_at_work(system) as load:
        migrating = asyncio.create_task(
            asyncio.to_thread(migrate, "payments", url, policy=LOCKS, report=printed.append)
        )
        await eventually(tried_again, within=60)
        await load.answered(60)
        assert not migrating.done()
        await dump.execute("commit")
        await migrating
        await load.answered(60)
    await dump.close()

    await system.wait_until_idle(within=60)
    assert load.failed == [], load.answers
    assert f"process {pid} (pg_dump, " in printed[1]
    assert printed[-1].startswith("payments: migrated after ")
    assert await system.rows("payments", "select added from payments.payments limit 1")
    assert await discrepancies(system) == []


async def test_a_migration_of_all_tables_that_a_booking_writes_gives_way_to_bookings(
    patient_system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = patient_system
    url = system.settings.database_url.get_secret_value()
    tables = ("outbox", "inbox", "rentals", "holds", "videos")
    changes = [f"alter table {table} add column added text" for table in tables]
    add_revision("video_rental.rentals", *changes, to=tmp_path, monkeypatch=monkeypatch)

    async with clients_at_work(system, clients=16) as load:
        await asyncio.to_thread(migrate, "video_rental.rentals", url, policy=LOCKS)
        await load.answered(60)

    await system.wait_until_idle(within=60)
    assert load.failed == [], load.answers
    assert await discrepancies(system) == []
