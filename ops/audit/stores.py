"""Reads all stores of the system in one SQL session; nothing is written to any of them.

The checks are SQL over all tables at once. They run in the database that holds most contexts, the home database; the
tables of other databases (always the provider's ledger) are copied into temporary tables of that session. There is one
snapshot per database, and the home database's is taken first, so that the copies are never older than it.
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

from ops.settings import SystemSettings
from storage.dialects import with_driver
from storage.views import ViewTables
from workers.registry import CONTEXTS

Row = Mapping[str, Any]

CONTEXT_OF = {context.replace(".", "_"): context for context in CONTEXTS}
"""The context of each schema."""

CONNECT_SECONDS, STATEMENT_SECONDS = 5, 60
DERIVED: dict[str, tuple[str, str]] = {}
"""Tables that several checks share, `<audit.name>` in a statement: their columns, and the statement that fills them."""

CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, sa.exc.SQLAlchemyError)

PROVIDER_BY_PAYMENTS = {
    "charges": """
      select payment_id as key, amount, captured + voided as captured, voided, refunded
      from <payments.payments> where status <> 'DECLINED'""",
    "refunds": """
      select refund_id as key, payment_id as charge_key, amount
      from <payments.refunds> where status = 'REFUNDED' and amount > 0""",
}
"""The columns of the simulator's tables that checks read, as payments has them."""

_TABLE = re.compile(r"<([a-z_]+)\.([a-z_]+)>")


class NotCheckableError(Exception):
    """A store that a check needs cannot be read; the text says which one and why."""

    def __init__(self, reason: str, found: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.found = list(found)
        """The discrepancies that the check found before."""


class Stores:
    """The tables of the system; a statement names them as `<schema.table>`."""

    def __init__(
        self,
        settings: SystemSettings,
        tables: Mapping[str, Sequence[str]],
        views: Mapping[str, ViewTables],
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.without = without
        """Names of the contexts that do not run; the checks leave them out."""
        self._tables = tables
        self._views = views
        self._databases = {schema: _database_of(schema, settings) for schema in tables}
        if settings.payments_provider != "simulator":
            del self._databases["provider"]
        self._home = Counter(self._databases.values()).most_common(1)[0][0]
        self._local_names: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}
        self._derived: set[str] = set()
        self._connection: asyncpg.Connection | None = None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Stores]:
        """Open the snapshots; a database that cannot be reached makes its checks fail with NotCheckableError."""
        async with AsyncExitStack() as stack:
            try:
                home = await _connect(stack, self._home)
                await self._load(stack, home)
                self._connection = home
            except CONNECTION_ERRORS as error:
                self._unreadable = dict.fromkeys(self._tables, _reason(error))
            yield self
            self._connection = None

    async def rows(self, statement: str, *arguments: Any) -> list[Row]:
        """Run a statement and return its rows; raises NotCheckableError."""
        text = await self._ready(statement)
        try:
            async with self._opened.transaction():
                rows: list[Row] = await self._opened.fetch(text, *arguments)
        except CONNECTION_ERRORS as error:
            raise NotCheckableError(_reason(error)) from error
        return rows

    @property
    def _opened(self) -> asyncpg.Connection:
        assert self._connection is not None
        return self._connection

    async def _ready(self, statement: str) -> str:
        """Replace `<schema.table>` by the names in the home database; fills the derived tables that it needs."""
        for schema, table in sorted(set(_TABLE.findall(statement))):
            if schema == "audit":
                await self._derive(table)
            elif schema in self._unreadable:
                raise NotCheckableError(f"{schema} cannot be read ({self._unreadable[schema]})")
        return _TABLE.sub(self._local_name, statement)

    def _local_name(self, named: re.Match[str]) -> str:
        if named[1] == "audit":
            return f"pg_temp.audit__{named[2]}"
        return self._local_names.get(f"{named[1]}.{named[2]}", f"{named[1]}.{named[2]}")

    async def _derive(self, name: str) -> None:
        """Fill a derived table once; PostgreSQL allows that for temporary tables in a read-only transaction."""
        if name in self._derived:
            return
        columns, source = DERIVED[name]
        source = await self._ready(source)
        try:
            async with self._opened.transaction():
                await self._opened.execute(f"insert into pg_temp.audit__{name} {source}")
                await _count_rows(self._opened, f"audit__{name}", columns)
        except CONNECTION_ERRORS as error:
            raise NotCheckableError(_reason(error)) from error
        self._derived.add(name)

    async def _load(self, stack: AsyncExitStack, home: asyncpg.Connection) -> None:
        """Take the snapshots and copy the tables of other databases."""
        elsewhere: dict[str, list[str]] = defaultdict(list)
        for schema, url in self._databases.items():
            if url != self._home:
                elsewhere[url].append(schema)
        remote: list[RemoteTable] = []
        others: list[asyncpg.Connection] = []
        for url, schemas in elsewhere.items():
            try:
                if url.startswith("postgresql://"):
                    others.append(await _connect(stack, url))
                for schema in schemas:
                    remote += await self._remote_tables(schema, others[-1] if url.startswith("postgresql://") else None)
            except CONNECTION_ERRORS as error:
                self._unreadable |= dict.fromkeys(schemas, _reason(error))
        for table in remote:
            await home.execute(f"create temp table {table.name} ({table.columns})")
            self._local_names[table.table] = f"pg_temp.{table.name}"
        if "provider" not in self._databases:
            await self._stand_in_for_provider(home)
        for name, (columns, _) in DERIVED.items():
            await home.execute(f"create temp table audit__{name} ({columns})")
        for connection in (home, *others):
            await stack.enter_async_context(connection.transaction(isolation="repeatable_read", readonly=True))
        missing = await home.fetch(
            "select s from unnest($1::text[]) s where to_regnamespace(s) is null",
            [schema for schema, url in self._databases.items() if url == self._home],
        )
        self._unreadable |= {row["s"]: "it has no tables: run `yeyak migrate`" for row in missing}
        for table in remote:
            try:
                await table.fill(home)
                await _count_rows(home, table.name, table.columns)
            except CONNECTION_ERRORS as error:
                self._unreadable[table.table.partition(".")[0]] = _reason(error)

    async def _stand_in_for_provider(self, home: asyncpg.Connection) -> None:
        """Take the books of a provider that has no database here from our own: `yeyak reconcile` compares the two."""
        for table, query in PROVIDER_BY_PAYMENTS.items():
            source = _TABLE.sub(self._local_name, query)
            try:
                await home.execute(f"create temp view provider__{table} as {source}")
            except CONNECTION_ERRORS as error:
                self._unreadable["provider"] = _reason(error)
            self._local_names[f"provider.{table}"] = f"pg_temp.provider__{table}"

    async def _remote_tables(self, schema: str, connection: asyncpg.Connection | None) -> Sequence[RemoteTable]:
        """The tables of a schema in another database; `connection` is None when that is no PostgreSQL."""
        if connection is None:
            url = self._databases[schema]
            return [_ViewTable(url, schema, table) for table in self._views[schema].metadata.sorted_tables]
        return [await _postgres_table(connection, schema, table) for table in self._tables[schema]]


class RemoteTable:
    """A table of another database, copied into a temporary table."""

    def __init__(self, schema: str, table: str, columns: str) -> None:
        self.table = f"{schema}.{table}"
        self.name = f"{schema}__{table}"
        self.columns = columns

    async def fill(self, home: asyncpg.Connection) -> None:
        """Copy the rows into the temporary table."""
        raise NotImplementedError


class _PostgresTable(RemoteTable):
    """A table of another PostgreSQL database, copied in binary form."""

    def __init__(self, connection: asyncpg.Connection, schema: str, table: str, columns: str) -> None:
        super().__init__(schema, table, columns)
        self._connection = connection

    async def fill(self, home: asyncpg.Connection) -> None:
        buffer: IO[bytes]
        with tempfile.SpooledTemporaryFile(64 * 2**20) as buffer:
            rows = f"table {self.table}"  # a partitioned table can only be copied by a query
            await self._connection.copy_from_query(rows, output=buffer, format="binary")
            buffer.seek(0)
            await home.copy_to_table(self.name, schema_name="pg_temp", source=buffer, format="binary")


class _ViewTable(RemoteTable):
    """A view's table in a database of another kind."""

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
        records = [tuple(map(_as_record_value, kinds, row)) for row in rows]
        await home.copy_records_to_table(self.name, schema_name="pg_temp", records=records)


def _as_record_value(kind: str, value: Any) -> Any:
    """Convert documents to text; other values stay as they are."""
    return to_json(value).decode() if kind in ("JSON", "JSONB") and value is not None else value


async def _count_rows(home: asyncpg.Connection, table: str, columns: str) -> None:
    """Give the planner the number of rows; the statistics of one column are enough."""
    await home.execute(f"analyze pg_temp.{table} ({columns.split()[0]})")


async def _postgres_table(connection: asyncpg.Connection, schema: str, table: str) -> _PostgresTable:
    found = await connection.fetch(
        """select attname, format_type(atttypid, atttypmod) as type from pg_attribute
        where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum""",
        f"{schema}.{table}",
    )
    return _PostgresTable(connection, schema, table, ", ".join(f'"{row["attname"]}" {row["type"]}' for row in found))


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


def _database_of(schema: str, settings: SystemSettings) -> str:
    if schema == "provider":
        return settings.provider_database
    return settings.database_of(CONTEXT_OF[schema])


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError):
        return "it has no tables: run `yeyak migrate`"
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
