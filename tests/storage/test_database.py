"""Database connections: their number, their reuse after errors, and the outcomes of a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from storage import database as module
from storage.database import CONNECTION_ERRORS, CommitInDoubt, Database, Statement
from tests.support import servers as support
from tests.support.proxy import Proxy
from tests.support.servers import Servers
from tests.support.system import eventually

BACKEND = Statement("select pg_backend_pid()")
SLEEP = Statement("select pg_sleep(30)")
KEEP = Statement("insert into kept values (:n)")
COUNT = Statement("select count(*) from kept")


@pytest.fixture(scope="module")
async def url(servers: Servers) -> str:
    url = await support.create_database(servers, "database_test")
    connection = await asyncpg.connect(url)
    await connection.execute("create table kept (n int unique deferrable initially deferred)")
    await connection.close()
    return url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, size=2)
    await database.start()
    yield database
    await database.stop()


async def backend(database: Database) -> int:
    async with database.session() as session:
        pid: int = await session.value(BACKEND)
        return pid


async def kept(database: Database) -> int:
    async with database.session() as session:
        number: int = await session.value(COUNT)
        return number


async def test_a_connection_is_reused(database: Database) -> None:
    assert await backend(database) == await backend(database)


async def test_there_are_never_more_connections_than_allowed(database: Database) -> None:
    assert len(set(await asyncio.gather(*(backend(database) for _ in range(20))))) <= 2


async def test_a_cancelled_statement_does_not_affect_the_next_one(database: Database, url: str) -> None:
    async def sleep() -> None:
        async with database.session() as session:
            await session.value(SLEEP)

    observer = await asyncpg.connect(url)

    async def is_sleeping() -> int:
        running: int = await observer.fetchval("select count(*) from pg_stat_activity where wait_event = 'PgSleep'")
        return running

    for _ in range(4):
        sleeping = asyncio.create_task(sleep())
        await eventually(is_sleeping, every=0.01)
        sleeping.cancel()
        await asyncio.wait((sleeping,))
        assert sleeping.cancelled()
    await observer.close()

    assert await backend(database)


async def test_a_connection_that_the_server_closed_is_replaced(database: Database, servers: Servers) -> None:
    pid = await backend(database)
    admin = await asyncpg.connect(servers.postgres.admin_url)
    await admin.execute("select pg_terminate_backend($1, 5000)", pid)
    await admin.close()

    async def again() -> int:
        try:
            return await backend(database)
        except CONNECTION_ERRORS:
            return await backend(database)

    assert await again() != pid


async def test_idle_connections_are_closed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(backend(database), backend(database))
    assert len(database._open) == 2
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)

    await backend(database)

    assert len(database._open) == 1


async def test_a_closed_database_raises_and_can_be_started_again(database: Database) -> None:
    await database.close()
    with pytest.raises(CONNECTION_ERRORS):
        await backend(database)

    await database.start()
    assert await backend(database)


async def test_closing_waits_for_open_transactions(database: Database) -> None:
    async with asyncio.timeout(5), database.transaction() as session:
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        assert await session.value(BACKEND)
    await closing


async def test_a_transaction_is_committed_whole_or_not_at_all(database: Database) -> None:
    before = await kept(database)
    async with database.transaction() as session:
        await session.one(KEEP, n=1)
        await session.one(KEEP, n=2)

    async def keep_and_fail() -> None:
        async with database.transaction() as session:
            await session.one(KEEP, n=3)
            raise KeyError

    with pytest.raises(KeyError):
        await keep_and_fail()
    assert await kept(database) == before + 2


async def test_an_error_at_commit_is_raised(database: Database) -> None:
    async def keep_twice() -> None:
        async with database.transaction() as session:
            await session.one(KEEP, n=7)
            await session.one(KEEP, n=7)

    with pytest.raises(asyncpg.UniqueViolationError):
        await keep_twice()
    assert await backend(database)


async def test_a_transaction_with_a_swallowed_error_does_not_commit(database: Database) -> None:
    async def keep_and_swallow() -> None:
        async with database.transaction() as session:
            await session.one(KEEP, n=8)
            with pytest.raises(asyncpg.NumericValueOutOfRangeError):
                await session.connection.execute("select 1e300::float8::int")

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await keep_and_swallow()
    assert await backend(database)


async def test_a_commit_without_an_answer_is_in_doubt(url: str) -> None:
    proxy = await Proxy(url).mend()
    database = Database(proxy.url, size=1)
    await database.start()

    async def keep_and_cut() -> None:
        async with database.transaction() as session:
            await session.one(KEEP, n=9)
            await proxy.cut()

    with pytest.raises(CommitInDoubt):
        await keep_and_cut()
    await proxy.mend()
    assert await backend(database)
    await database.stop()
    await proxy.cut()
