"""PostgreSQL for the writers: statements compiled once by SQLAlchemy, run by asyncpg.

SQLAlchemy's own execution costs 0.69 ms of CPU per two-statement transaction, asyncpg's 0.13 (decision 0002).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

Row = Mapping[str, Any]

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,
)
"""The database cannot be reached, or the connection to it broke: nothing is known to be wrong with the work."""

TRANSIENT = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
"""The same step may well succeed at once."""


AMBIGUOUS = (OSError, asyncpg.InterfaceError)
"""Those of AWAY that a mistake in a handler raises as well: `Session.is_broken` tells them apart."""


class CommitInDoubt(Exception):
    """The connection broke between COMMIT and its answer: only the rows can tell what became of it."""


class Statement:
    """A statement with named parameters (`:name`), ready for asyncpg."""

    __slots__ = ("_defaults", "_names", "text")

    def __init__(self, source: str | ClauseElement) -> None:
        clause = text(source) if isinstance(source, str) else source
        compiled: Any = clause.compile(dialect=_DIALECT)
        self.text = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        required = {name for name, bind in compiled.binds.items() if bind.required}
        self._defaults = {name: compiled.params[name] for name in self._names if name not in required}

    def arguments(self, given: dict[str, Any]) -> list[Any]:
        """The values in the order of the statement; raises KeyError for one that is missing."""
        if not self._defaults:
            return [given[name] for name in self._names]
        known = self._defaults | given
        return [known[name] for name in self._names]


class Session:
    """A connection, in a transaction or outside one."""

    __slots__ = ("connection",)

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    @property
    def is_broken(self) -> bool:
        """The connection is gone."""
        return bool(self.connection.is_closed())

    async def one(self, statement: Statement, **values: Any) -> Row | None:
        """The first row, or None."""
        row: Row | None = await self.connection.fetchrow(statement.text, *statement.arguments(values))
        return row

    async def all(self, statement: Statement, **values: Any) -> list[Row]:
        rows: list[Row] = await self.connection.fetch(statement.text, *statement.arguments(values))
        return rows

    async def value(self, statement: Statement, **values: Any) -> Any:
        """The first column of the first row, or None."""
        return await self.connection.fetchval(statement.text, *statement.arguments(values))

    async def many(self, statement: Statement, rows: list[dict[str, Any]]) -> None:
        """Run the statement for each row, in one round trip."""
        await self.connection.executemany(statement.text, [statement.arguments(row) for row in rows])


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """Leaves nothing behind, so the pool need not spend a round trip on resetting it."""

    def get_reset_query(self) -> str:
        return ""


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, url: str, *, size: int = 12) -> None:
        self._url = url
        self._size = size
        self._pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        """Prepare the pool; connections are made when they are needed. Raises nothing if the database is away."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._size,
            max_inactive_connection_lifetime=60,
            timeout=5,
            command_timeout=20,
            connection_class=_Connection,
            server_settings={
                "application_name": "yeyak",
                "statement_timeout": "15s",
                "lock_timeout": "5s",
                "idle_in_transaction_session_timeout": "20s",
                "timezone": "UTC",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan",
            },
        )

    async def stop(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def close(self) -> None:
        """Stop after the connections in use were given back, at most two seconds later."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(2):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        self._pool = None

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Outside a transaction: each statement is its own."""
        pool = self._pool
        if pool is None:
            raise asyncpg.InterfaceError("the database was stopped")
        connection = await pool.acquire(timeout=10)
        try:
            yield Session(connection)
        finally:
            with contextlib.suppress(*AWAY):  # the pool has closed what it could not take back; no error is hidden
                await pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Commits at the end, rolls back on any exception; raises CommitInDoubt when COMMIT got no answer."""
        async with self.session() as session:
            transaction = session.connection.transaction()
            await transaction.start()
            try:
                yield session
            except BaseException:
                with contextlib.suppress(*AWAY):  # a broken connection has rolled back, and hides no other error
                    await transaction.rollback()
                raise
            try:
                await transaction.commit()
            except (*AWAY, TimeoutError, asyncpg.QueryCanceledError) as error:
                raise CommitInDoubt from error

    async def ping(self) -> None:
        """Raises one of AWAY, or TimeoutError, when the database does not answer within three seconds."""
        async with asyncio.timeout(3), self.session() as session:
            await session.connection.fetchval("select 1")
