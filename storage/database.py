"""PostgreSQL access of the writers: statements are compiled once by SQLAlchemy and executed by asyncpg.

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
"""An idle connection is closed after this time."""

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
    asyncpg.ReadOnlySQLTransactionError,
)
"""The database cannot be reached or written to, or the connection was lost; the statement itself may be correct."""

SCHEMA_CHANGED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A migration has changed a table since the connection prepared the statement. asyncpg forgets what that connection had
prepared, and repeats the statement by itself only outside a transaction."""

TRANSIENT = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    *SCHEMA_CHANGED,
)
"""Errors after which the same transaction can be repeated at once. Some are CONNECTION_ERRORS by their class, so these
are tested first."""


AMBIGUOUS = (OSError, asyncpg.InterfaceError)
"""The CONNECTION_ERRORS that a bug in a handler can raise as well; `Session.is_broken` distinguishes the two."""


def is_transient(error: BaseException) -> bool:
    """Whether the same work may well succeed at once; an error of asyncpg may be wrapped by SQLAlchemy."""
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    return isinstance(cause, TRANSIENT)


class CommitInDoubt(Exception):
    """The connection was lost between COMMIT and its reply: only the rows show whether it was committed."""


class Statement:
    """A SQL statement with named parameters (`:name`), compiled for asyncpg."""

    __slots__ = ("_defaults", "_names", "text")

    def __init__(self, source: str | ClauseElement) -> None:
        clause = text(source) if isinstance(source, str) else source
        compiled: Any = clause.compile(dialect=_DIALECT)
        self.text = str(compiled)
        self._names: tuple[str, ...] = tuple(compiled.positiontup or ())
        required = {name for name, bind in compiled.binds.items() if bind.required}
        self._defaults = {name: compiled.params[name] for name in self._names if name not in required}

    def arguments(self, given: dict[str, Any]) -> list[Any]:
        """The values in the order of the statement's parameters; raises KeyError for a missing one."""
        if not self._defaults:
            return [given[name] for name in self._names]
        values = self._defaults | given
        return [values[name] for name in self._names]


class Session:
    """A connection, in a transaction or outside one."""

    __slots__ = ("connection",)

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    @property
    def is_broken(self) -> bool:
        """Whether the connection is closed."""
        return bool(self.connection.is_closed())

    async def one(self, statement: Statement, **values: Any) -> Row | None:
        """Execute a statement; the first row, or None."""
        row: Row | None = await self.connection.fetchrow(statement.text, *statement.arguments(values))
        return row

    async def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Execute a statement; all rows."""
        rows: list[Row] = await self.connection.fetch(statement.text, *statement.arguments(values))
        return rows

    async def value(self, statement: Statement, **values: Any) -> Any:
        """Execute a statement; the first column of the first row, or None."""
        return await self.connection.fetchval(statement.text, *statement.arguments(values))

    async def many(self, statement: Statement, rows: list[dict[str, Any]]) -> None:
        """Execute a statement once per row of values, in one round trip."""
        await self.connection.executemany(statement.text, [statement.arguments(row) for row in rows])


class Database:
    """A pool of at most `size` connections to a PostgreSQL database; asyncpg's own pool costs twice as much per use."""

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
        """Allow sessions. Connections are opened on demand: an unavailable database raises nothing here."""
        self._running = True

    async def stop(self) -> None:
        """Close all connections at once; statements in progress fail."""
        self._running = False
        for connection in tuple(self._open):
            self._discard(connection)

    async def close(self) -> None:
        """Wait up to two seconds for the connections in use, then stop."""
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
            self._discard(connection)
        return connection

    def _discard(self, connection: asyncpg.Connection) -> None:
        self._remove(connection)
        connection.terminate()

    def _remove(self, connection: asyncpg.Connection) -> None:
        self._open.discard(connection)
        self._outdated.discard(connection)

    async def _acquire(self) -> asyncpg.Connection:
        while self._idle:
            connection, _since = self._idle.pop()
            if connection.is_closed():
                self._remove(connection)
                continue
            if connection in self._outdated:
                self._outdated.discard(connection)
                await connection.reload_schema_state()  # forgets prepared statements; no round trip
            return connection
        return await self._connect()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A session without a transaction: each statement commits by itself.

        Raises TimeoutError when no connection is free within 10 seconds, and CONNECTION_ERRORS when none can be opened.
        """
        slots = self._slots
        if slots.locked():
            async with asyncio.timeout(10):
                await slots.acquire()
        else:
            await slots.acquire()
        try:
            if not self._running:
                raise asyncpg.InterfaceError("the database was stopped")
            connection = await self._acquire()
            try:
                yield Session(connection)
            except (asyncio.CancelledError, TimeoutError):
                self._discard(connection)  # a statement may still be running
                raise
            except asyncpg.ReadOnlySQLTransactionError:
                self._discard(connection)  # its server may be a standby now
                raise
            except SCHEMA_CHANGED:
                self._outdated |= self._open  # or the next try would fail on the next connection
                raise
            finally:
                self._release(connection)
        finally:
            slots.release()

    def _release(self, connection: asyncpg.Connection) -> None:
        if connection.is_closed() or connection.is_in_transaction():
            self._discard(connection)
        else:
            now = time.monotonic()
            self._idle.append((connection, now))
            if now - self._idle[0][1] > IDLE_SECONDS:
                self._discard(self._idle.popleft()[0])

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A session in a transaction: committed at the end, rolled back on any exception.

        Raises CommitInDoubt when COMMIT got no reply.
        """
        async with self.session() as session:
            connection = session.connection
            await connection.execute("begin")
            try:
                yield session
            except BaseException:
                # A lost connection has rolled back; its error must not replace the original one.
                with contextlib.suppress(*CONNECTION_ERRORS):
                    await connection.execute("rollback")
                raise
            try:
                ended = await connection.execute("commit")
            except (*CONNECTION_ERRORS, TimeoutError, asyncpg.QueryCanceledError) as error:
                raise CommitInDoubt from error
            if ended != "COMMIT":
                raise asyncpg.InFailedSQLTransactionError("the transaction was aborted by an error that was suppressed")
