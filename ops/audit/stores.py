"""Every store of the system, to be asked together: one snapshot per database, and nothing is ever written to one.

The checks are SQL over all tables at once. They run in the database in which most contexts live; tables that live
elsewhere (the provider's ledger always does) are copied into temporary tables of that connection. Its own snapshot is
taken first: what happens elsewhere meanwhile is then at most ahead of it.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import IO, Any

import asyncpg
import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import create_async_engine

from ops.audit.invariant import CONTEXT_OF
from storage.dialects import with_driver
from storage.views import ViewTables
from workers.runtime.settings import Settings

Row = Mapping[str, Any]

CONNECT_SECONDS, STATEMENT_SECONDS = 5, 60
DERIVED: dict[str, tuple[str, str]] = {}
"""What several checks look at: `<audit.name>`, its columns, and the statement that fills it when it is first needed."""

CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, sa.exc.SQLAlchemyError)

_PLACE = re.compile(r"<([a-z_]+)\.([a-z_]+)>")


class NotCheckableError(Exception):
    """A store that a check needs cannot be read; its text says which, and why."""

    def __init__(self, why: str, found: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.found = list(found)
        """What the check had found without it."""


class Stores:
    """The tables of the system, by `<schema.table>` in a statement."""

    def __init__(
        self,
        settings: Settings,
        tables: Mapping[str, Sequence[str]],
        views: Mapping[str, ViewTables],
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.without = without
        """Contexts that do not run, by name; checks leave them out."""
        self._tables = tables
        self._views = views
        self._databases = {schema: _database_of(schema, settings) for schema in tables}
        self._home = Counter(self._databases.values()).most_common(1)[0][0]
        self._places: dict[str, str] = {}
        self._away: dict[str, str] = {}
        self._derived: set[str] = set()
        self._connection: asyncpg.Connection | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Stores]:
        """Read from here on; a database that is away is one of the findings, not an error."""
        async with AsyncExitStack() as stack:
            try:
                home = await _connect(stack, self._home)
                await self._take_up(stack, home)
                self._connection = home
            except CONNECTION_ERRORS as error:
                self._away = dict.fromkeys(self._tables, _reason(error))
            yield self
            self._connection = None

    async def rows(self, statement: str, *arguments: Any) -> list[Row]:
        """The rows of a statement; raises NotCheckableError."""
        text = await self._ready(statement)
        try:
            async with self._open.transaction():
                rows: list[Row] = await self._open.fetch(text, *arguments)
        except CONNECTION_ERRORS as error:
            raise NotCheckableError(_reason(error)) from error
        return rows

    @property
    def _open(self) -> asyncpg.Connection:
        assert self._connection is not None
        return self._connection

    async def _ready(self, statement: str) -> str:
        """The statement with the places of its tables, which are there when this returns."""
        for schema, table in sorted(set(_PLACE.findall(statement))):
            if schema == "audit":
                await self._derive(table)
            elif schema in self._away:
                raise NotCheckableError(f"{schema} cannot be read ({self._away[schema]})")
        return _PLACE.sub(self._place, statement)

    def _place(self, named: re.Match[str]) -> str:
        if named[1] == "audit":
            return f"pg_temp.audit__{named[2]}"
        return self._places.get(f"{named[1]}.{named[2]}", f"{named[1]}.{named[2]}")

    async def _derive(self, name: str) -> None:
        """Temporary tables may be filled in a transaction that only reads."""
        if name in self._derived:
            return
        columns, source = DERIVED[name]
        source = await self._ready(source)
        try:
            async with self._open.transaction():
                await self._open.execute(f"insert into pg_temp.audit__{name} {source}")
                await _count_rows(self._open, f"audit__{name}", columns)
        except CONNECTION_ERRORS as error:
            raise NotCheckableError(_reason(error)) from error
        self._derived.add(name)

    async def _take_up(self, stack: AsyncExitStack, home: asyncpg.Connection) -> None:
        elsewhere: dict[str, list[str]] = defaultdict(list)
        for schema, url in self._databases.items():
            if url != self._home:
                elsewhere[url].append(schema)
        copies: list[Copy] = []
        others: list[asyncpg.Connection] = []
        for url, schemas in elsewhere.items():
            try:
                if url.startswith("postgresql://"):
                    others.append(await _connect(stack, url))
                for schema in schemas:
                    copies += await self._copies(schema, others[-1] if url.startswith("postgresql://") else None)
            except CONNECTION_ERRORS as error:
                self._away |= dict.fromkeys(schemas, _reason(error))
        for copy in copies:
            await home.execute(f"create temp table {copy.name} ({copy.columns})")
            self._places[copy.table] = f"pg_temp.{copy.name}"
        for name, (columns, _) in DERIVED.items():
            await home.execute(f"create temp table audit__{name} ({columns})")
        for connection in (home, *others):
            await stack.enter_async_context(connection.transaction(isolation="repeatable_read", readonly=True))
        missing = await home.fetch(
            "select s from unnest($1::text[]) s where to_regnamespace(s) is null",
            [schema for schema, url in self._databases.items() if url == self._home],
        )
        self._away |= {row["s"]: "it has no tables: run `yeyak migrate`" for row in missing}
        for copy in copies:
            try:
                await copy.fill(home)
                await _count_rows(home, copy.name, copy.columns)
            except CONNECTION_ERRORS as error:
                self._away[copy.table.partition(".")[0]] = _reason(error)

    async def _copies(self, schema: str, connection: asyncpg.Connection | None) -> Sequence[Copy]:
        """The tables of a schema that is elsewhere; without a connection in a database of another kind."""
        if connection is None:
            url = self._databases[schema]
            return [_ViewCopy(url, schema, table) for table in self._views[schema].metadata.sorted_tables]
        return [await _pg_copy(connection, schema, table) for table in self._tables[schema]]


class Copy:
    """A table that lives elsewhere."""

    def __init__(self, schema: str, table: str, columns: str) -> None:
        self.table = f"{schema}.{table}"
        self.name = f"{schema}__{table}"
        self.columns = columns

    async def fill(self, home: asyncpg.Connection) -> None:
        """Bring its rows over."""
        raise NotImplementedError


class _PgCopy(Copy):
    """From another PostgreSQL: rows travel as they are, and are not looked at here."""

    def __init__(self, connection: asyncpg.Connection, schema: str, table: str, columns: str) -> None:
        super().__init__(schema, table, columns)
        self._connection = connection

    async def fill(self, home: asyncpg.Connection) -> None:
        kept: IO[bytes]
        with tempfile.SpooledTemporaryFile(64 * 2**20) as kept:
            rows = f"table {self.table}"  # a partitioned table can be copied only so
            await self._connection.copy_from_query(rows, output=kept, format="binary")
            kept.seek(0)
            await home.copy_to_table(self.name, schema_name="pg_temp", source=kept, format="binary")


class _ViewCopy(Copy):
    """From a view in a database of another kind."""

    _dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

    def __init__(self, url: str, schema: str, table: sa.Table) -> None:
        columns = ", ".join(f'"{column.name}" {column.type.compile(self._dialect)}' for column in table.columns)
        super().__init__(schema, table.name, columns)
        self._url = url
        self._source = table

    async def fill(self, home: asyncpg.Connection) -> None:
        engine = create_async_engine(with_driver(self._url))
        try:
            async with engine.connect() as connection:
                rows = (await connection.execute(sa.select(self._source))).all()
        finally:
            await engine.dispose()
        kinds = [str(column.type.compile(self._dialect)) for column in self._source.columns]
        records = [tuple(map(_as_copied, kinds, row)) for row in rows]
        await home.copy_records_to_table(self.name, schema_name="pg_temp", records=records)


def _as_copied(kind: str, value: Any) -> Any:
    """Documents travel as text."""
    return to_json(value).decode() if kind in ("JSON", "JSONB") and value is not None else value


async def _count_rows(home: asyncpg.Connection, table: str, columns: str) -> None:
    """Let the planner know how many there are; one column's statistics will do."""
    await home.execute(f"analyze pg_temp.{table} ({columns.split()[0]})")


async def _pg_copy(connection: asyncpg.Connection, schema: str, table: str) -> _PgCopy:
    found = await connection.fetch(
        """select attname, format_type(atttypid, atttypmod) as type from pg_attribute
        where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum""",
        f"{schema}.{table}",
    )
    return _PgCopy(connection, schema, table, ", ".join(f'"{row["attname"]}" {row["type"]}' for row in found))


async def _connect(stack: AsyncExitStack, url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS,
        command_timeout=STATEMENT_SECONDS,
        server_settings={
            "application_name": "yeyak audit",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
            "work_mem": "256MB",
            "jit": "off",
            "timezone": "UTC",
        },
    )
    stack.callback(connection.terminate)
    return connection


def _database_of(schema: str, settings: Settings) -> str:
    if schema == "provider":
        return settings.provider_database
    return settings.database_of(CONTEXT_OF[schema])


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError):
        return "it has no tables: run `yeyak migrate`"
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
