"""Café: the report, a view of the events of the menu and of orders."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.cafe.menu import MenuItem
from contracts.cafe.orders import Order
from contracts.cafe.report import ListReport, ShowReport
from storage.view_columns import Instant
from storage.view_queries import ViewQueries
from storage.views import ViewTables

tables = ViewTables("cafe_report")

menu_items = tables.projection("menu_items", MenuItem, listed=True)
orders = tables.projection("orders", Order, "menu_item_id", "created_at", index=("menu_item_id", "created_at"))

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
_NOW = sa.select(sa.type_coerce(sa.func.now(), Instant))


class ReportQueries(ViewQueries):
    """The queries about menu items; `newest` and `find` take `since`, from when on orders are counted."""

    def fields(self, row: sa.RowMapping, query: Any) -> dict[str, Any]:
        return super().fields(row, query) | {"changed_at": row["modified_at"]}


queries = ReportQueries(
    tables,
    menu_items,
    lists=ListReport,
    shows=ShowReport,
    computed=[_ORDERED.label("orders_today")],
)


async def now(connection: AsyncConnection) -> datetime:
    """The database's time."""
    instant: datetime = (await connection.execute(_NOW)).scalar_one()
    return instant
