"""PostgreSQL for the writers: statements compiled once by SQLAlchemy, run by asyncpg.

SQLAlchemy's own execution costs 0.69 ms of CPU per two-statement transaction, asyncpg's 0.13 (decision 0002).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError

Row = Mapping[str, Any]

IDLE_SECONDS = 60.0
"""A connection that nobody has needed for so long is closed."""

_SETTINGS = {
    "application_name": "yeyak",
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "20s",
    "timezone": "UTC",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}

_DIALECT: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

CONNECTION_ERRORS = (
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

SCHEMA_CHANGED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A migration has changed a table since the connection prepared the statement. asyncpg forgets what that connection had
prepared, and repeats the statement by itself only outside a transaction."""

TRANSIENT = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    *SCHEMA_CHANGED,
)
"""The same step may well succeed at once. Some are CONNECTION_ERRORS by their class: ask for these first."""


AMBIGUOUS = (OSError, asyncpg.InterfaceError)
"""Those of CONNECTION_ERRORS that a mistake in a handler raises as well: `Session.is_broken` tells them apart."""


def is_transient(error: BaseException) -> bool:
    """Whether the same work may well succeed at once; an error of asyncpg may be wrapped by SQLAlchemy."""
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    return isinstance(cause, TRANSIENT)


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


class Database:
    """Connections to one PostgreSQL database, at most `size`; asyncpg's own pool costs twice as much per use."""

    def __init__(self, url: str, *, size: int = 12) -> None:
        self._url = url
        self._size = size
        self._idle: deque[tuple[asyncpg.Connection, float]] = deque()
        self._open: set[asyncpg.Connection] = set()
        self._outdated: set[asyncpg.Connection] = set()
        """Connections that may have prepared statements for tables as they were before a migration."""
        self._slots = asyncio.Semaphore(size)
        self._running = False

    async def start(self) -> None:
        """Connections are made when they are needed. Raises nothing if the database is away."""
        self._running = True

    async def stop(self) -> None:
        """At once: what is under way breaks off."""
        self._running = False
        for connection in tuple(self._open):
            self._drop(connection)

    async def close(self) -> None:
        """Stop after the connections in use were given back, at most two seconds later."""
        self._running = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(self._size):
                    await self._slots.acquire()
        await self.stop()
        self._slots = asyncio.Semaphore(self._size)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._url, timeout=5, command_timeout=20, server_settings=_SETTINGS)
        self._open.add(connection)
        if not self._running:
            self._drop(connection)
        return connection

    def _drop(self, connection: asyncpg.Connection) -> None:
        self._forget(connection)
        connection.terminate()

    def _forget(self, connection: asyncpg.Connection) -> None:
        self._open.discard(connection)
        self._outdated.discard(connection)

    async def _take(self) -> asyncpg.Connection:
        while self._idle:
            connection, _since = self._idle.pop()
            if connection.is_closed():
                self._forget(connection)
                continue
            if connection in self._outdated:
                self._outdated.discard(connection)
                await connection.reload_schema_state()  # forgets prepared statements; no round trip
            return connection
        return await self._connect()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Outside a transaction: each statement is its own. Raises TimeoutError after 10 s without a connection."""
        slots = self._slots
        if slots.locked():
            async with asyncio.timeout(10):
                await slots.acquire()
        else:
            await slots.acquire()
        try:
            if not self._running:
                raise asyncpg.InterfaceError("the database was stopped")
            connection = await self._take()
            try:
                yield Session(connection)
            except (asyncio.CancelledError, TimeoutError):
                self._drop(connection)  # a statement may still be under way
                raise
            except SCHEMA_CHANGED:
                self._outdated |= self._open  # or the next try would fail on the next connection
                raise
            finally:
                self._give_back(connection)
        finally:
            slots.release()

    def _give_back(self, connection: asyncpg.Connection) -> None:
        if connection.is_closed() or connection.is_in_transaction():
            self._drop(connection)
        else:
            now = time.monotonic()
            self._idle.append((connection, now))
            if now - self._idle[0][1] > IDLE_SECONDS:
                self._drop(self._idle.popleft()[0])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Commits at the end, rolls back on any exception; raises CommitInDoubt when COMMIT got no answer."""
        async with self.session() as session:
            connection = session.connection
            await connection.execute("begin")
            try:
                yield session
            except BaseException:
                with contextlib.suppress(
                    *CONNECTION_ERRORS
                ):  # a broken connection has rolled back, and hides no other error
                    await connection.execute("rollback")
                raise
            try:
                ended = await connection.execute("commit")
            except (*CONNECTION_ERRORS, TimeoutError, asyncpg.QueryCanceledError) as error:
                raise CommitInDoubt from error
            if ended != "COMMIT":
                raise asyncpg.InFailedSQLTransactionError("an error that was not passed on had ended the transaction")

    async def ping(self) -> None:
        """Raises one of CONNECTION_ERRORS, or TimeoutError, when the database does not answer within three seconds."""
        async with asyncio.timeout(3), self.session() as session:
            await session.connection.fetchval("select 1")
