"""Café: the clerk's report, the whole menu in one read."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Query, Shape, TimelineEntry
from contracts.cafe.menu import MenuItem, MenuItemStatus


class ReportItem(MenuItem):
    """A menu item with when it was last changed, and how often it was ordered today."""

    changed_at: AwareDatetime
    orders_today: int
    """Orders placed since midnight in Seoul, whatever became of them."""


class ReportEntry(ReportItem):
    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class Report(Shape):
    items: list[ReportItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListReport(Query[Report]):
    """All items, newest first."""

    topic = "cafe.report.list_report"

    status: MenuItemStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowReport(Query[ReportEntry]):
    """One item; waits up to a second until the view has seen `min_version` of it."""

    topic = "cafe.report.show_report"

    menu_item_id: UUID
    min_version: int = 0
