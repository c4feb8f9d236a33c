"""Café: the report, a view of the events of the menu and of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.cafe.report import ListReport, Report, ReportEntry, ReportItem
from storage import paging
from storage.views import Instant, MemberText, ViewTables, newest_first

tables = ViewTables("cafe_report")

menu_items = tables.projection(
    "menu_items",
    "menu_item_id",
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("registered_by", MemberText, nullable=False),
    sa.Column("changed_by", MemberText, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("modified_at", Instant, nullable=False),
    sa.Index("menu_items_newest", "generation", "created_at", "menu_item_id"),
)
orders = tables.projection(
    "orders",
    "order_id",
    sa.Column("menu_item_id", sa.Uuid, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("orders_of_item", "generation", "menu_item_id", "created_at"),
)

_ORDERED = (
    sa.select(sa.func.count())
    .select_from(orders)
    .where(
        orders.c.generation == menu_items.c.generation,
        orders.c.menu_item_id == menu_items.c.menu_item_id,
        orders.c.created_at >= sa.bindparam("since", type_=Instant),
    )
    .scalar_subquery()
)
_SELECT = sa.select(menu_items, _ORDERED.label("orders_today")).where(menu_items.c.generation == tables.current())
_ONE = _SELECT.where(menu_items.c.menu_item_id == sa.bindparam("id"))
_NOW = sa.select(sa.type_coerce(sa.func.now(), Instant))


async def now(connection: AsyncConnection) -> datetime:
    """The database's time."""
    instant: datetime = (await connection.execute(_NOW)).scalar_one()
    return instant


async def newest(connection: AsyncConnection, query: ListReport, as_of: datetime, since: datetime) -> Report:
    """A page of items, newest first; orders are counted from `since` on."""
    select = newest_first(_SELECT, menu_items, "menu_item_id", query)
    rows = (await connection.execute(select, {"since": since})).mappings().all()
    items, cursor = paging.page(rows, query.limit, _item, lambda item: (item.created_at, item.menu_item_id))
    return Report(items=items, next_cursor=cursor, as_of=as_of)


async def find(connection: AsyncConnection, menu_item_id: UUID, as_of: datetime, since: datetime) -> ReportEntry | None:
    """One item with its timeline; None when the view has no such item."""
    row = (await connection.execute(_ONE, {"id": menu_item_id, "since": since})).mappings().one_or_none()
    if row is None:
        return None
    return ReportEntry(
        **_item(row).__dict__,
        as_of=as_of,
        timeline=await tables.timeline_entries(connection, [menu_item_id]),
    )


def _item(row: Any) -> ReportItem:
    return ReportItem(**{**row, "changed_at": row["modified_at"]})
