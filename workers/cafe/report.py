"""Café: the report, a view that answers even when menu and orders are down."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.cafe.menu import MenuItemChanged, MenuItemRegistered
from contracts.cafe.orders import (
    OrderAccepted,
    OrderCancelled,
    OrderCollected,
    OrderMarkedReady,
    OrderPlaced,
    OrderRejected,
)
from contracts.cafe.report import ListReport, Report, ReportEntry, ShowReport
from storage.cafe import report as store
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.projections.view import Projection, View

SEOUL = ZoneInfo("Asia/Seoul")
ORDER_EVENTS = (OrderPlaced, OrderAccepted, OrderRejected, OrderMarkedReady, OrderCollected, OrderCancelled)

worker = report = View(
    "cafe.report",
    store.tables,
    [
        Projection(store.menu_items, "menu_item_id", (MenuItemRegistered, MenuItemChanged)),
        Projection(store.orders, "order_id", ORDER_EVENTS),
    ],
)


def midnight(now: datetime) -> datetime:
    """The start of the day of `now` in Seoul."""
    return datetime.combine(now.astimezone(SEOUL).date(), time(), SEOUL)


@report.handles(ListReport)
async def list_report(query: ListReport, connection: AsyncConnection) -> Report:
    now = await store.now(connection)
    return await store.newest(connection, query, now, midnight(now))


@report.handles(ShowReport)
async def show_report(query: ShowReport, connection: AsyncConnection) -> ReportEntry:
    now = await store.now(connection)
    entry = await store.find(connection, query.menu_item_id, now, midnight(now))
    if entry is None:
        raise RetryableNotFound
    if entry.version < query.min_version:
        raise StaleRead(entry)
    return entry
