"""What an error of the database says about the work: repeat it, wait for the database, or give the work up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NotSupportedError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database, Session, Statement, is_transient
from storage.dialects import connect
from tests.support import servers as support
from tests.support.servers import Servers

READ = Statement("select * from things")
OPEN = 4

TRANSIENT = [
    asyncpg.DeadlockDetectedError(),
    asyncpg.SerializationError(),
    asyncpg.LockNotAvailableError(),
    asyncpg.InvalidCachedStatementError(),
    asyncpg.OutdatedSchemaCacheError("a type has changed"),
]
LASTING = [
    asyncpg.FeatureNotSupportedError(),
    asyncpg.UniqueViolationError(),
    asyncpg.InternalClientError(),
    ConnectionResetError(),
    ValueError(),
    NotSupportedError("select", {}, Exception()),
]


@pytest.fixture
async def url(servers: Servers) -> str:
    """A database with one table."""
    url = await support.create_database(servers, f"transient_{uuid4().hex[:8]}")
    await run(url, "create table things (id int primary key, name varchar(40))")
    return url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, size=OPEN)
    await database.start()
    yield database
    await database.stop()


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def read_on_every_connection(database: Database) -> None:
    """Read in transactions that are open at the same time, so that each connection has prepared the statement."""
    together = asyncio.Barrier(OPEN)

    async def read() -> None:
        async with database.transaction() as session:
            await together.wait()
            await session.all(READ)
            await together.wait()

    await asyncio.gather(*(read() for _ in range(OPEN)))


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_the_same_work_may_succeed_at_once(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=lambda error: type(error).__name__)
def test_the_same_work_would_fail_again(error: Exception) -> None:
    assert not is_transient(error)


async def test_after_a_change_of_a_table_one_transaction_fails_and_the_next_on_any_connection_succeeds(
    database: Database, url: str
) -> None:
    async def read_in_a_transaction() -> None:
        async with database.transaction() as session:
            await session.all(READ)

    await read_on_every_connection(database)
    await run(url, "alter table things add column added text")

    with pytest.raises(asyncpg.InvalidCachedStatementError) as raised:
        await read_in_a_transaction()

    assert is_transient(raised.value)
    await read_on_every_connection(database)


async def test_a_connection_in_use_meanwhile_forgets_what_it_had_prepared_once_it_is_taken_again(
    database: Database, url: str
) -> None:
    async def fail(session: Session) -> None:
        await session.all(READ)

    async with database.session() as busy:
        await busy.all(READ)
        async with database.transaction() as other:
            await other.all(READ)
        await run(url, "alter table things add column added text")
        with pytest.raises(asyncpg.InvalidCachedStatementError):
            async with database.transaction() as other:
                await fail(other)

    await read_on_every_connection(database)


async def test_a_read_outside_a_transaction_does_not_notice(database: Database, url: str) -> None:
    async with database.session() as session:
        await session.all(READ)
        await run(url, "alter table things add column added text")

        assert await session.all(READ) == []


async def test_a_view_sees_it_wrapped_by_sqlalchemy_and_succeeds_the_next_time(url: str) -> None:
    engine = connect(url, "public", 2)

    async def read(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("select * from things"))

    try:
        async with engine.begin() as connection:
            await read(connection)
        await run(url, "alter table things alter column name type varchar(80)")
        with pytest.raises(DBAPIError) as raised:
            async with engine.begin() as connection:
                await read(connection)

        assert isinstance(raised.value, NotSupportedError)
        assert is_transient(raised.value)
        async with engine.begin() as connection:
            await read(connection)
    finally:
        await engine.dispose()


async def test_a_unique_key_that_is_taken_is_no_passing_matter_wrapped_or_not(url: str) -> None:
    engine = connect(url, "public", 1)
    try:
        with pytest.raises(DBAPIError) as raised:
            async with engine.begin() as connection:
                await connection.execute(sa.text("insert into things values (1, 'a'), (1, 'b')"))

        assert not is_transient(raised.value)
    finally:
        await engine.dispose()
