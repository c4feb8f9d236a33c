"""A migration whose tables are in use: it asks briefly, waits without a lock request, and says who holds them."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import typer
from typer.testing import CliRunner

from ops.commands import migrate as migrate_command
from ops.settings import system_settings
from storage.migrations import locks, migrate
from storage.migrations.locks import LockPolicy, LocksNotGranted
from tests.support import servers as support
from tests.support.revisions import add_revision
from tests.support.servers import Servers
from tests.support.system import eventually

QUICK = LockPolicy(first_wait=0.02, longest_wait=0.1, first_pause=0.02, longest_pause=0.1, patience=60)
ADDS = "alter table products add column added text"


@pytest.fixture
async def url(servers: Servers, templates: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database in which one additive migration of the shop's products is left to do."""
    add_revision("shop.products", ADDS, to=tmp_path, monkeypatch=monkeypatch)
    return await support.create_database(servers, f"locks_{uuid4().hex[:8]}", support.TEMPLATE)


@pytest.fixture
def environment(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database as the commands find it."""
    monkeypatch.setenv("YEYAK_DATABASE_URL", url)
    system_settings.cache_clear()
    yield
    system_settings.cache_clear()


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session that has read the table and stays in its transaction, as pg_dump does."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "pg_dump"})
    try:
        await connection.execute("begin")
        await connection.fetch("select * from shop_products.products")
        yield connection
    finally:
        await connection.close()


async def columns_added(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval(
            "select count(*) from information_schema.columns"
            " where table_schema = 'shop_products' and column_name = 'added'"
        )
        return count
    finally:
        await connection.close()


async def read_once(url: str) -> None:
    """What a worker does; raises when it waits for a lock for longer than a moment."""
    connection = await asyncpg.connect(url, server_settings={"lock_timeout": "2s"})
    try:
        await connection.fetch("select * from shop_products.products")
    finally:
        await connection.close()


def run(url: str, said: list[str], policy: LockPolicy = QUICK) -> asyncio.Task[None]:
    return asyncio.create_task(asyncio.to_thread(migrate, "shop.products", url, policy=policy, report=said.append))


async def said_so(said: list[str], times: int) -> None:
    async def enough() -> bool:
        return len(said) >= times

    await eventually(enough, within=60)


async def test_a_migration_that_nobody_is_in_the_way_of_says_nothing(url: str) -> None:
    said: list[str] = []

    await run(url, said)

    assert said == []
    assert await columns_added(url) == 1


async def test_it_waits_for_a_reader_says_who_it_is_and_succeeds_when_the_reader_is_gone(url: str) -> None:
    said: list[str] = []
    async with reader(url) as blocking:
        pid = blocking.get_server_pid()
        running = run(url, said)
        await said_so(said, 4)
        assert await columns_added(url) == 0
    await running

    assert await columns_added(url) == 1
    assert f"shop_products: the migration waits because process {pid} (pg_dump, role " in said[1]
    assert "idle in transaction" in said[1]
    assert "holds locks on shop_products.products" in said[1]
    assert re.fullmatch(r"shop_products: migrated after \d+\.\d s", said[-1])


async def test_while_it_is_seen_to_be_blocked_it_asks_for_no_lock_and_others_read_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    tries: list[float] = []
    when_granted = locks.migrate_when_granted

    async def counted(apply: Callable[[float], None], *rest: object) -> None:
        def count(wait: float) -> None:
            tries.append(wait)
            apply(wait)

        await when_granted(count, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("storage.migrations.migrate_when_granted", counted)
    async with reader(url):
        running = run(url, said)
        await said_so(said, 2)
        asked = len(tries)
        await said_so(said, 6)
        await asyncio.gather(*(read_once(url) for _ in range(20)))
        assert len(tries) == asked
    await running

    assert max(tries) <= QUICK.longest_wait


async def test_a_schema_that_is_up_to_date_waits_for_nobody(url: str) -> None:
    said: list[str] = []
    await run(url, said)
    async with reader(url):
        await run(url, said)

    assert said == []


async def test_it_gives_up_in_the_end_and_leaves_the_schema_as_it_was(url: str) -> None:
    async with reader(url) as blocking:
        with pytest.raises(LocksNotGranted, match=rf"process {blocking.get_server_pid()} .* it gave up after 0.5 s"):
            await run(url, [], LockPolicy(0.02, 0.1, 0.02, 0.1, patience=0.5))

    assert await columns_added(url) == 0


async def test_another_migration_of_the_schema_is_waited_for(url: str) -> None:
    said: list[str] = []
    other = await asyncpg.connect(url, server_settings={"application_name": "yeyak migrate"})
    await other.execute("begin")
    await other.execute("select pg_advisory_xact_lock($1)", zlib.crc32(b"migrate shop_products"))
    await other.execute("alter table shop_products.products add column by_another text")

    running = run(url, said)
    await said_so(said, 2)
    await other.execute("commit")
    await other.close()
    await running

    assert "(yeyak migrate, " in said[0]
    assert await columns_added(url) == 1


async def test_an_error_of_the_migration_itself_is_not_repeated(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_revision("cafe.menu", "alter table nowhere add column added text", to=tmp_path, monkeypatch=monkeypatch)
    said: list[str] = []

    with pytest.raises(Exception, match="nowhere"):
        await asyncio.to_thread(migrate, "cafe.menu", url, policy=QUICK, report=said.append)

    assert said == []


async def test_the_command_prints_each_try_and_ends_with_a_sentence_and_exit_code_1(
    url: str, environment: None
) -> None:
    app = typer.Typer()
    app.command()(migrate_command.migrate)

    async with reader(url):
        result = await asyncio.to_thread(CliRunner().invoke, app, ["shop.products", "--patience", "1"])

    assert result.exit_code == 1
    assert "holds locks on shop_products.products; it tries again in 0.5 s (try 1)\n" in result.output
    assert str(result.exception).endswith("run `yeyak migrate` again when that transaction has ended")
