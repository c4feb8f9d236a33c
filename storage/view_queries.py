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
from contracts.payments import RefundPart
from storage import paging
from storage.payment_projections import LatestRefunds
from storage.view_columns import bare
from storage.views import ViewTables

FILTERS = ("member_id", "video_id", "status")
"""The fields of a query that restrict its list, if the query has them and they are not None."""


@dataclass(frozen=True)
class Joined:
    """What each thing shows of another projection: of the row that has the same value in the column `on`.

    `part` is the field that shows it as a shape, None without such a row; `columns` are shown as they are.
    """

    table: sa.Table
    on: str
    part: str | None = None
    columns: Sequence[sa.ColumnElement[Any]] = ()


class ViewQueries:
    """The queries `lists` and `shows` about the things of one projection.

    Their answers say what is selected: a page has `items`, `next_cursor` and `as_of`, an entry has `as_of` and
    `timeline` besides. A thing with a `member_id` is shown to that member and to staff; to others it does not exist.
    With `refunds`, the projection of refunds, each thing has the latest `refund` of its payment.
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
        refunds: sa.Table | None = None,
        timeline: Sequence[sa.Column[Any]] = (),
    ) -> None:
        self.lists = lists
        self.shows = shows
        self.tables = tables
        self.timeline = timeline
        """The ids whose events the timeline has besides those of the thing itself."""
        self.page_type, self.entry_type = lists.answer, shows.answer
        self.item_type: Any = get_args(self.page_type.model_fields["items"].annotation)[0]
        self._refunds = None if refunds is None else LatestRefunds(tables, refunds)
        self._things = things
        self._key = next(column.name for column in things.primary_key if column.name != "generation")
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
        refunds = await self._latest_refunds(connection, rows[: query.limit])
        items, cursor = paging.page(
            rows,
            query.limit,
            lambda row: self.item_type(**self._fields(row, query, refunds)),
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
        refunds = await self._latest_refunds(connection, [row])
        subjects = await self.subjects(connection, row, query)
        return self.entry_type(
            **self._fields(row, query, refunds),
            as_of=as_of or datetime.now(UTC),
            timeline=await self.tables.timeline_entries(
                connection, [*subjects, *(refund.refund_id for refund in refunds.values())]
            ),
        )

    def fields(self, row: sa.RowMapping, query: Any) -> dict[str, Any]:
        """The fields of a thing; a view that shows more than its tables store extends it."""
        shown = {name: row[name] for name in self._names}
        for part, (key, labels) in self._parts.items():
            shown[part] = None if row[key] is None else {field: row[label] for field, label in labels.items()}
        return shown

    async def subjects(self, connection: AsyncConnection, row: sa.RowMapping, query: Any) -> list[UUID | None]:
        """The ids whose events the timeline of a thing has, besides those of its refund."""
        return [row[self._key], *(row[column] for column in self.timeline)]

    async def _latest_refunds(
        self, connection: AsyncConnection, rows: Sequence[sa.RowMapping]
    ) -> dict[UUID, RefundPart]:
        if self._refunds is None:
            return {}
        return await self._refunds.of(connection, [row["payment_id"] for row in rows])

    def _fields(self, row: sa.RowMapping, query: Any, refunds: dict[UUID, RefundPart]) -> dict[str, Any]:
        fields = self.fields(row, query)
        return fields if self._refunds is None else {**fields, "refund": refunds.get(row["payment_id"])}

    def _part(self, joined: Joined) -> tuple[str, dict[str, str]]:
        """The label of a joined row's id, and the label of each field of the part that it is shown as."""
        assert joined.part is not None
        shape, _ = bare(self.item_type.model_fields[joined.part].annotation)
        key = next(column.name for column in joined.table.primary_key if column.name != "generation")
        return f"{joined.part}_{key}", {field: f"{joined.part}_{field}" for field in shape.model_fields}

    def _joined(self, joined: Sequence[Joined], more: Sequence[sa.ColumnElement[Any]]) -> sa.Select[Any]:
        source: sa.FromClause = self._things
        columns = list(more)
        for one in joined:
            same = one.table.c.generation == self._things.c.generation
            source = source.outerjoin(one.table, same & (one.table.c[one.on] == self._things.c[one.on]))
            columns += one.columns
            if one.part:
                labels = self._parts[one.part][1]
                columns += [one.table.c[field].label(label) for field, label in labels.items()]
        select = sa.select(self._things, *columns).select_from(source)
        return select.where(self._things.c.generation == self.tables.current())
