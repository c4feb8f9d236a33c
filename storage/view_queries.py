"""The two standard queries of a view: a page of its things, newest first, and one of them with its timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import Query
from storage import paging
from storage.view_columns import bare
from storage.views import ViewTables

FILTERS = ("member_id", "video_id", "status")
"""The fields of a query that restrict its list, if the query has them and they are not None."""


@dataclass(frozen=True)
class Joined:
    """What each thing shows of another projection: of the row that has the same value in the column `on`.

    `part` is the field that shows it as a shape, None without such a row; `columns` are shown as they are. Of several
    rows with that value `latest` takes the one that was created last.
    """

    table: sa.Table
    on: str
    part: str | None = None
    columns: Sequence[sa.ColumnElement[Any]] = ()
    latest: bool = False

    @property
    def key(self) -> str:
        return key_of(self.table)

    def condition(self, things: sa.Table) -> sa.ColumnElement[bool]:
        """The condition under which a row of `table` belongs to one of `things`."""
        table = self.table.alias() if self.latest else self.table
        mine = (table.c.generation == things.c.generation) & (table.c[self.on] == things.c[self.on])
        if not self.latest:
            return mine
        newest = (table.c.created_at.desc(), table.c[self.key].desc())
        latest = sa.select(table.c[self.key]).where(mine).order_by(*newest).limit(1).scalar_subquery()
        return (self.table.c.generation == things.c.generation) & (self.table.c[self.key] == latest)


def key_of(table: sa.Table) -> str:
    """The column with the id of a projection's aggregates."""
    return next(column.name for column in table.primary_key if column.name != "generation")


class ViewQueries:
    """The queries `lists` and `shows` about the things of one projection.

    Their answers say what is selected: a page has `items`, `next_cursor` and `as_of`, an entry has `as_of` and
    `timeline` besides. A thing with a `member_id` is shown to that member and to staff; to others it does not exist.
    """

    def __init__(
        self,
        tables: ViewTables,
        things: sa.Table,
        *,
        lists: type[Query[Any]],
        shows: type[Query[Any]],
        joined: Sequence[Joined] = (),
        computed: Sequence[sa.ColumnElement[Any]] = (),
        timeline: Sequence[sa.Column[Any]] = (),
    ) -> None:
        self.lists = lists
        self.shows = shows
        self.tables = tables
        self.timeline = timeline
        """The ids whose events the timeline has besides those of the thing itself."""
        self.page_type, self.entry_type = lists.answer, shows.answer
        self.item_type: Any = get_args(self.page_type.model_fields["items"].annotation)[0]
        self._things = things
        self._key = key_of(things)
        self._parts = {one.part: self._part(one) for one in joined if one.part}
        self._select = self._joined(joined, [*computed, *(id for id in timeline if id.table is not things)])
        self._one = self._select.where(things.c[self._key] == sa.bindparam("id"))
        names = {column.key for column in self._select.selected_columns}
        self._names = [name for name in self.item_type.model_fields if name in names]
        filters = {name: things.c[name] == sa.bindparam(name) for name in FILTERS if name in things.c}
        self._keyset = paging.Keyset(self._select, (things.c.created_at, things.c[self._key]), filters)

    async def newest(
        self, connection: AsyncConnection, query: Any, *, as_of: datetime | None = None, **values: Any
    ) -> Any:
        """The page that `query` asks for; `values` are those of parameters in `computed`."""
        statement, given = self._keyset.read(query, **values)
        rows = (await connection.execute(statement, given)).mappings().all()
        items, cursor = paging.page(
            rows,
            query.limit,
            lambda row: self.item_type(**self.fields(row, query)),
            lambda item: (item.created_at, getattr(item, self._key)),
        )
        return self.page_type(items=items, next_cursor=cursor, as_of=as_of or datetime.now(UTC))

    async def find(
        self, connection: AsyncConnection, query: Any, *, as_of: datetime | None = None, **values: Any
    ) -> Any:
        """The thing that `query` names, with its timeline; None when its sender sees no such thing."""
        given = {"id": getattr(query, self._key), **values}
        row = (await connection.execute(self._one, given)).mappings().one_or_none()
        if row is None or ("member_id" in self._things.c and not query.caller.may_see(row["member_id"])):
            return None
        subjects = await self.subjects(connection, row, query)
        return self.entry_type(
            **self.fields(row, query),
            as_of=as_of or datetime.now(UTC),
            timeline=await self.tables.timeline_entries(connection, subjects),
        )

    def fields(self, row: sa.RowMapping, query: Any) -> dict[str, Any]:
        """The fields of a thing; a view that shows more than its tables store extends it."""
        shown = {name: row[name] for name in self._names}
        for part, (key, labels) in self._parts.items():
            shown[part] = None if row[key] is None else {field: row[label] for field, label in labels.items()}
        return shown

    async def subjects(self, connection: AsyncConnection, row: sa.RowMapping, query: Any) -> list[UUID | None]:
        """The ids whose events the timeline of a thing has."""
        return [row[self._key], *(row[column] for column in self.timeline)]

    def _part(self, joined: Joined) -> tuple[str, dict[str, str]]:
        """The label of a joined row's id, and the label of each field of the part that it is shown as."""
        assert joined.part is not None
        shape, _ = bare(self.item_type.model_fields[joined.part].annotation)
        return f"{joined.part}_{joined.key}", {field: f"{joined.part}_{field}" for field in shape.model_fields}

    def _joined(self, joined: Sequence[Joined], more: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
        source: sa.FromClause = self._things
        columns = list(more)
        for one in joined:
            source = source.outerjoin(one.table, one.condition(self._things))
            columns += one.columns
            if one.part:
                labels = self._parts[one.part][1]
                columns += [one.table.c[field].label(label) for field, label in labels.items()]
        select = sa.select(self._things, *columns).select_from(source)
        return select.where(self._things.c.generation == self.tables.current())
