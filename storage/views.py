"""Tables of views. Events may be applied by any replica, in any order.

Each projection row has the `version` of its aggregate: a newer state replaces it, an older one does not. A view has
generations, so that it can be rebuilt while it answers queries: the generation `current` is read, and the generation
`building` (during a rebuild) is written as well. A view can be stored in PostgreSQL, MariaDB or SQLite; the URL decides
(see `storage.dialects`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.base import CATALOGUE, Event, Shape, TimelineEntry
from storage.dialects import connect, upsert
from storage.view_columns import Instant, columns_of


def _timeline_table(metadata: sa.MetaData) -> sa.Table:
    """One row per event: (subject, version, event name)."""
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
    """One row: the generation that is read, and the one that is being built."""
    return sa.Table(
        "generations",
        metadata,
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("current", sa.Integer, nullable=False),
        sa.Column("building", sa.Integer),
    )


class TimelineRow(Shape):
    """An event of the aggregate `subject`, as the timeline stores it."""

    subject: UUID
    version: int
    what: str
    at: AwareDatetime
    status: str
    reason: str | None


@dataclass(frozen=True)
class Projection:
    """A table with the newest state of each aggregate of one kind, from the events that carry this state."""

    table: sa.Table
    key: str
    state: type[Shape]
    about: str | None
    """Keep only what is about this context, or about none."""

    @property
    def events(self) -> list[type[Event]]:
        """The events with the fields of the state."""
        return [kind for kind in CATALOGUE.values() if issubclass(kind, Event) and issubclass(kind, self.state)]

    def keeps(self, event: Any) -> bool:
        return self.about is None or getattr(event, event.about) in ("", self.about)

    def timeline_row(self, event: Any) -> TimelineRow:
        """The event's line in the timeline."""
        return TimelineRow.model_construct(
            subject=getattr(event, self.key),
            version=event.version,
            what=type(event).__name__,
            at=event.modified_at,
            status=str(getattr(event, "status", "")),
            reason=getattr(event, "reason", None),
        )


class ViewTables:
    """The tables of one view: its projections, a timeline, and the generations."""

    def __init__(self, schema: str) -> None:
        self.metadata = sa.MetaData()
        self.schema = schema
        self.projections: list[Projection] = []
        self.generations = _generations_table(self.metadata)
        self.timeline = _timeline_table(self.metadata)

        ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
        self._timeline_of = (
            sa.select(self.timeline)
            .where(self.timeline.c.generation == self.current(), self.timeline.c.subject.in_(ids))
            .order_by(self.timeline.c.at, self.timeline.c.version, self.timeline.c.what)
        )

    def projection(
        self,
        name: str,
        state: type[Shape],
        *fields: str,
        listed: bool = False,
        index: Sequence[str] = (),
        about: str | None = None,
    ) -> sa.Table:
        """Declare the table with the newest state of one kind of aggregate, whose id is the first field of `state`.

        It has columns for `fields` (all, if none are named). `listed` adds the indexes of a list, newest first, of all
        and of a member; `index` one of these columns. `about` keeps only what is about this context, or about none.
        """
        key = next(iter(state.model_fields))
        indexed: dict[str, tuple[str, ...]] = {"newest": ("created_at", key)} if listed else {}
        if listed and "member_id" in state.model_fields:
            indexed["of_member"] = ("member_id", "created_at", key)
        if index:
            indexed[f"of_{index[0].removesuffix('_id')}"] = tuple(index)
        names = [field for field in fields or state.model_fields if field not in (key, "version")]
        table = sa.Table(
            name,
            self.metadata,
            sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column(key, sa.Uuid, primary_key=True),
            sa.Column("version", sa.Integer, nullable=False),
            *columns_of(state, names, {column for columns in indexed.values() for column in columns}),
            *(sa.Index(f"{name}_{suffix}", "generation", *columns) for suffix, columns in indexed.items()),
        )
        self.projections.append(Projection(table, key, state, about))
        return table

    def current(self) -> sa.ScalarSelect[int]:
        """The generation that readers see."""
        return sa.select(self.generations.c.current).scalar_subquery()

    async def timeline_entries(
        self, connection: AsyncConnection, subjects: Iterable[UUID | None]
    ) -> list[TimelineEntry]:
        """The timeline of some aggregates, ordered by time; subjects that are None are skipped."""
        rows = await connection.execute(self._timeline_of, {"ids": [subject for subject in subjects if subject]})
        return [TimelineEntry(at=_rfc3339(row.at), what=row.what, status=row.status, reason=row.reason) for row in rows]


class ViewDatabase:
    """The database that stores a view's tables."""

    def __init__(self, tables: ViewTables, url: str, *, size: int = 8) -> None:
        self.tables = tables
        self._url = url
        self._size = size
        self._engine: AsyncEngine | None = None
        self._statements: dict[str, Any] = {}

    def open(self) -> None:
        """Create the engine; the URL is `postgresql://`, `mysql://`, `sqlite:///`, or another one of SQLAlchemy."""
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
        """Raises the driver's error or TimeoutError when the rows of a table cannot be written within three seconds."""
        async with asyncio.timeout(3), self.transaction() as connection:
            for table in self.tables.metadata.sorted_tables:
                column = next(iter(table.c))
                await connection.execute(table.update().where(sa.false()).values({column: column}))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries, without a transaction."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, committed at the end."""
        async with self.engine.begin() as connection:
            yield connection

    async def lock_generations(self, connection: AsyncConnection) -> list[int]:
        """The generations that a batch must write; the row is locked until the transaction ends."""
        row = (await connection.execute(sa.select(self.tables.generations).with_for_update(read=True))).one()
        return [row.current] if row.building is None else [row.current, row.building]

    async def upsert_states(
        self, connection: AsyncConnection, table: sa.Table, generations: Sequence[int], states: Sequence[Shape]
    ) -> None:
        """Upsert states; an older version never replaces a newer one, and a row of the timeline is never changed.

        `states` must contain each key once, ordered by key (concurrent batches then lock rows in the same order).
        """
        if self.engine.dialect.name == "postgresql":
            body = "[" + ",".join(state.model_dump_json() for state in states) + "]"
            await connection.execute(self._upsert_json(table), {"generations": list(generations), "states": body})
        else:
            rows = [{"generation": generation, **_row(table, state)} for generation in generations for state in states]
            await connection.execute(self._upsert(table), rows)

    def _upsert_json(self, table: sa.Table) -> Any:
        """An upsert of all rows from one JSON document: a tenth of the cost of one statement per row."""
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

    async def delete_generation(self, connection: AsyncConnection, generation: int) -> None:
        """Delete the rows of a generation."""
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
