"""The report works in SQLite as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from contracts.cafe.orders import OrderCancelled, OrderPlaced, OrderStatus
from contracts.cafe.report import ListReport, ShowReport
from storage.cafe import report as store
from storage.migrations import migrate
from storage.views import ViewDatabase
from tests.cafe.helpers import SOLD_OUT
from tests.cafe.test_report import item_event, order_event
from workers.cafe.report import midnight, today, worker
from workers.runtime.projections.view import apply


@pytest.fixture
async def view(tmp_path: Path) -> AsyncIterator[ViewDatabase]:
    """The report's tables in SQLite."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'report.db'}"
    await asyncio.to_thread(migrate, worker.name, url)
    database = ViewDatabase(worker.tables, url)
    database.open()
    yield database
    await database.close()


async def test_a_report_in_sqlite_has_the_same_entries(view: ViewDatabase) -> None:
    item_id, other_id, order_id = uuid4(), uuid4(), uuid4()
    began = midnight(datetime.now(UTC))
    events = [
        item_event(item_id, 2, status=SOLD_OUT),
        item_event(item_id, 1),
        item_event(other_id, 1, created_at=began),
        order_event(item_id, OrderCancelled, OrderStatus.CANCELLED, 2, began, order_id),
        order_event(item_id, OrderPlaced, OrderStatus.ORDERED, 1, began, order_id),
        order_event(item_id, OrderPlaced, OrderStatus.ORDERED, 1, began - timedelta(seconds=1)),
    ]

    for event in events:
        await apply(worker, view, [event])

    async with view.read() as connection:
        given = await today(connection)
        entry = await store.queries.find(connection, ShowReport(menu_item_id=item_id), **given)
        first = await store.queries.newest(connection, ListReport(limit=1), **given)
        rest = await store.queries.newest(connection, ListReport(limit=1, cursor=first.next_cursor), **given)
    assert abs(datetime.now(UTC) - given["as_of"]) < timedelta(minutes=1)
    assert entry is not None
    assert (entry.version, entry.status, entry.orders_today) == (2, SOLD_OUT, 1)
    assert [line.what for line in entry.timeline] == ["MenuItemRegistered", "MenuItemChanged"]
    assert [item.menu_item_id for item in first.items + rest.items] == [item_id, other_id]
    assert rest.next_cursor is None
