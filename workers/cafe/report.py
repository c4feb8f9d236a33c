"""Café: the report, a view that answers even when menu and orders are down."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.cafe import report as store
from workers.runtime.projections.view import View

SEOUL = ZoneInfo("Asia/Seoul")

worker = report = View("cafe.report", store.tables)


def midnight(now: datetime) -> datetime:
    """The start of the day of `now` in Seoul."""
    return datetime.combine(now.astimezone(SEOUL).date(), time(), SEOUL)


async def today(connection: AsyncConnection) -> dict[str, Any]:
    """The time of reading, by the database's clock, and from when on orders are today's."""
    now = await store.now(connection)
    return {"as_of": now, "since": midnight(now)}


report.answers(store.queries, given=today)
