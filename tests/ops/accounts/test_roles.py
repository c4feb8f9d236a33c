"""The rights of each role in a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ops.accounts.files import DATABASE, PROVIDER_DATABASE, Folder
from ops.settings import SystemSettings
from workers.registry import CONTEXTS

OWN_TABLES = """
    select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname = $1 order by 1"""
READABLE_SCHEMAS = """
    select nspname from pg_namespace where has_schema_privilege(oid, 'usage')
      and nspname not like 'pg\\_%' and nspname not in ('information_schema', 'public')"""


@asynccontextmanager
async def signed_in(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


def schema(context: str) -> str:
    return context.replace(".", "_")


@pytest.mark.parametrize("context", CONTEXTS)
async def test_a_context_has_its_own_tables_and_sees_no_others(folder: Folder, context: str) -> None:
    async with signed_in(folder.read(context)[DATABASE]) as own:
        tables = [row[0] for row in await own.fetch(OWN_TABLES, schema(context))]
        seen = {row[0] for row in await own.fetch(READABLE_SCHEMAS)}

        assert seen == {schema(context)}
        for table in tables:
            await own.execute(f"select * from {table} limit 1")
            await own.execute(f"delete from {table} where false")
        assert len(tables) > 2


@pytest.mark.parametrize(
    "action",
    [
        "select * from payments.payments",
        "insert into video_rental_rentals.holds values (gen_random_uuid(), 1)",
        "create table public.mine (n int)",
        "create schema mine",
        "create temporary table mine (n int)",
        "create table payments.mine (n int)",
        "drop table journal.events",
        "alter role operator superuser",
        "set role payments",
    ],
)
async def test_a_context_must_not_use_other_tables_or_change_its_schema(folder: Folder, action: str) -> None:
    async with signed_in(folder.read("cafe.menu")[DATABASE]) as menu:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await menu.execute(action)


async def test_payments_cannot_read_the_providers_database(folder: Folder, admin_settings: SystemSettings) -> None:
    provider, own = folder.read("payments")[PROVIDER_DATABASE], folder.read("payments")[DATABASE]
    payments_there = own.rpartition("/")[0] + "/" + provider.rpartition("/")[2]

    async with signed_in(provider) as ledger:
        assert await ledger.fetchval("select count(*) from provider.charges") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(payments_there)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(provider.rpartition("/")[0] + "/" + own.rpartition("/")[2])


async def test_the_operator_reads_everything_and_writes_nothing(folder: Folder) -> None:
    async with signed_in(folder.read("operator")[DATABASE]) as operator:
        for context in CONTEXTS:
            for (table,) in await operator.fetch(OWN_TABLES, schema(context)):
                await operator.execute(f"select * from {table} limit 1")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await operator.execute(f"delete from {table} where false")
    async with signed_in(folder.read("operator")[PROVIDER_DATABASE]) as operator:
        await operator.execute("select * from provider.charges")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await operator.execute("delete from provider.charges")


async def test_the_operator_reads_tables_that_are_created_later(folder: Folder) -> None:
    """The journal creates a table for each month."""
    async with signed_in(folder.read("journal")[DATABASE]) as journal:
        await journal.execute("create table journal.events_of_a_later_month (n int)")

    async with signed_in(folder.read("operator")[DATABASE]) as operator:
        assert await operator.fetchval("select count(*) from journal.events_of_a_later_month") == 0
