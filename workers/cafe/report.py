"""Café: the report answers while menu and orders are both down."""

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
from workers.runtime.processing.tx import Behind, NotKnownYet
from workers.runtime.projections.view import Copy, View

SEOUL = ZoneInfo("Asia/Seoul")
ORDER_EVENTS = (OrderPlaced, OrderAccepted, OrderRejected, OrderMarkedReady, OrderCollected, OrderCancelled)

worker = report = View(
    "cafe.report",
    store.tables,
    [
        Copy(store.menu_items, "menu_item_id", (MenuItemRegistered, MenuItemChanged)),
        Copy(store.orders, "order_id", ORDER_EVENTS),
    ],
)


def midnight(now: datetime) -> datetime:
    """When the day of `now` began in Seoul."""
    return datetime.combine(now.astimezone(SEOUL).date(), time(), SEOUL)


@report.on(ListReport)
async def list_report(question: ListReport, connection: AsyncConnection) -> Report:
    now = await store.now(connection)
    return await store.newest(connection, question, now, midnight(now))


@report.on(ShowReport)
async def show_report(question: ShowReport, connection: AsyncConnection) -> ReportEntry:
    now = await store.now(connection)
    entry = await store.find(connection, question.menu_item_id, now, midnight(now))
    if entry is None:
        raise NotKnownYet
    if entry.version < question.min_version:
        raise Behind(entry)
    return entry
