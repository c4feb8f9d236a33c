"""Views: tables that only events feed, and that any replica may feed in any order.

Each source's columns are guarded by that source's `version`: a newer state replaces, an older one never does. A view
has generations, so that it can be rebuilt while it answers: `current` is read, `building` (if any) is written as well.
Portable SQL through SQLAlchemy: a view may live on PostgreSQL, MariaDB or SQLite, by its URL alone; see
`storage.dialects`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.base import Shape, TimelineEntry
from storage import paging
from storage.dialects import connect, upsert


class Instant(sa.TypeDecorator[datetime]):
    """An aware instant, kept in UTC also where the database knows no zones."""

    impl = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _timeline_table(metadata: sa.MetaData) -> sa.Table:
    """One row for every (source, version) that was told, in whatever order they came."""
    return sa.Table(
        "timeline",
        metadata,
        sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("what", sa.String(200), primary_key=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text),
    )


def _generations_table(metadata: sa.MetaData) -> sa.Table:
    """One row: which generation is read, and which is being built."""
    return sa.Table(
        "generations",
        metadata,
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("building", sa.Integer),
    )


class TimelineRow(Shape):
    """Something that happened to a subject."""

    subject: UUID
    version: int
    what: str
    at: AwareDatetime
    status: str
    reason: str | None


class ViewTables:
    """One view's tables: its copies, a timeline, and the generations."""

    def __init__(self, schema: str) -> None:
        self.metadata = sa.MetaData()
        self.schema = schema
        self.generations = _generations_table(self.metadata)
        self.timeline = _timeline_table(self.metadata)

        ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
        self._happened = (
            sa.select(self.timeline)
            .where(self.timeline.c.generation == self.current(), self.timeline.c.subject.in_(ids))
            .order_by(self.timeline.c.at, self.timeline.c.version, self.timeline.c.what)
        )

    def copy(self, name: str, key: str, *columns: sa.Column[Any] | sa.Index) -> sa.Table:
        """A table of what one kind of source last told: its key, its version, and some of its fields."""
        return sa.Table(
            name,
            self.metadata,
            sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column(key, sa.Uuid, primary_key=True),
            sa.Column("version", sa.Integer, nullable=False),
            *columns,
        )

    def current(self) -> sa.ScalarSelect[int]:
        """The generation that readers see."""
        return sa.select(self.generations.c.current).scalar_subquery()

    async def happened(self, connection: AsyncConnection, subjects: Iterable[UUID | None]) -> list[TimelineEntry]:
        """What happened to these, in the order of their times; None stands for what is not there (yet)."""
        rows = await connection.execute(self._happened, {"ids": [subject for subject in subjects if subject]})
        return [TimelineEntry(at=_rfc3339(row.at), what=row.what, status=row.status, reason=row.reason) for row in rows]


class Listed(Protocol):
    """A query for a page of a list; it may also name a `member_id` and a `status`."""

    @property
    def limit(self) -> int: ...

    @property
    def cursor(self) -> str | None: ...


def newest_first(select: sa.Select[Any], table: sa.Table, key: str, query: Listed) -> sa.Select[Any]:
    """The page that a query asks for, and one row more if there is any; see `paging.page`."""
    at, id = paging.decode(query.cursor)
    created, own = table.c.created_at, table.c[key]
    select = select.order_by(created.desc(), own.desc()).limit(query.limit + 1)
    for name in ("member_id", "status"):
        wanted = getattr(query, name, None)
        if wanted is not None:
            select = select.where(table.c[name] == wanted)
    if at is not None:
        select = select.where(sa.tuple_(sa.literal(at, Instant), sa.literal(id, sa.Uuid)) > sa.tuple_(created, own))
    return select


def beside(main: sa.Table, other: sa.Table, key: str) -> sa.ColumnElement[bool]:
    """What joins a copy to the main one: the same generation, the same key."""
    return (other.c.generation == main.c.generation) & (other.c[key] == main.c[key])


class ViewDatabase:
    """The database in which a view's tables lie."""

    def __init__(self, tables: ViewTables, url: str, *, size: int = 8) -> None:
        self.tables = tables
        self._url = url
        self._size = size
        self._engine: AsyncEngine | None = None
        self._statements: dict[str, Any] = {}

    def open(self) -> None:
        """Prepare to connect; the URL is `postgresql://`, `mysql://`, `sqlite:///`, or any that SQLAlchemy knows."""
        self._engine = connect(self._url, self.tables.schema, self._size)

    @property
    def engine(self) -> AsyncEngine:
        if self._engine is None:
            raise ConnectionError("the view's database was not opened")
        return self._engine

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def ping(self) -> None:
        """Raises when the database does not answer."""
        async with self.read() as connection:
            await connection.execute(sa.text("select 1"))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for looking."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @asynccontextmanager
    async def change(self) -> AsyncIterator[AsyncConnection]:
        """A transaction."""
        async with self.engine.begin() as connection:
            yield connection

    async def written_generations(self, connection: AsyncConnection) -> list[int]:
        """The generations that a batch must write, held until its transaction ends."""
        row = (await connection.execute(sa.select(self.tables.generations).with_for_update(read=True))).one()
        return [row.current] if row.building is None else [row.current, row.building]

    async def put(
        self, connection: AsyncConnection, table: sa.Table, generations: Sequence[int], states: Sequence[Shape]
    ) -> None:
        """Keep the newest state of each key; `states` holds each key once, in the order of keys.

        A row of the timeline, whose version is part of its key, stays as it is.
        """
        if self.engine.dialect.name == "postgresql":
            body = "[" + ",".join(state.model_dump_json() for state in states) + "]"
            await connection.execute(self._put_json(table), {"generations": list(generations), "states": body})
        else:
            rows = [{"generation": generation, **_row(table, state)} for generation in generations for state in states]
            await connection.execute(self._upsert(table), rows)

    def _put_json(self, table: sa.Table) -> Any:
        """All rows in one statement from one document: a tenth of the cost of a row at a time."""
        if table.name not in self._statements:
            dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
            names = _names(table)
            types = ", ".join(f"{name} {table.c[name].type.compile(dialect)}" for name in names)
            columns, keys = ", ".join(names), ", ".join(column.name for column in table.primary_key)
            updates = ", ".join(f"{name} = excluded.{name}" for name in names if not table.c[name].primary_key)
            newer = f"do update set {updates} where {table.name}.version < excluded.version"
            self._statements[table.name] = sa.text(
                f"insert into {table.name} (generation, {columns}) "  # noqa: S608 - names of our own tables
                f"select generation, {columns} from unnest(cast(:generations as integer[])) as generation "
                f"cross join json_to_recordset(cast(:states as json)) as state({types}) "
                f"on conflict ({keys}) {'do nothing' if table.c.version.primary_key else newer}"
            )
        return self._statements[table.name]

    def _upsert(self, table: sa.Table) -> Any:
        if table.name not in self._statements:
            self._statements[table.name] = upsert(table, self.engine.dialect.name)
        return self._statements[table.name]

    async def clear(self, connection: AsyncConnection, generation: int) -> None:
        """Forget a generation."""
        for table in self.tables.metadata.sorted_tables:
            if "generation" in table.c:
                await connection.execute(sa.delete(table).where(table.c.generation == generation))


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _names(table: sa.Table) -> list[str]:
    return [column.name for column in table.columns if column.name != "generation"]


def _row(table: sa.Table, state: Shape) -> dict[str, Any]:
    return {name: _plain(getattr(state, name)) for name in _names(table)}


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
