"""Café: the clerk's report, a view of the menu with the number of today's orders."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Query, Shape, TimelineEntry
from contracts.cafe.menu import MenuItem, MenuItemStatus
from contracts.refusals import NotFound


class ReportItem(MenuItem):
    """A menu item with the time of its last change and the number of its orders today."""

    changed_at: AwareDatetime
    orders_today: int
    """Orders placed since midnight in Seoul, in any status."""


class ReportEntry(ReportItem):
    """An item with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class Report(Shape):
    """One page of items; `as_of` is the time of reading."""

    items: list[ReportItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListReport(Query[Report]):
    """All items, newest first."""

    topic = "cafe.report.list_report"
    refusals = ()

    status: MenuItemStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowReport(Query[ReportEntry]):
    """One item; waits up to one second until the view has applied its version `min_version`."""

    topic = "cafe.report.show_report"
    refusals = (NotFound,)

    menu_item_id: UUID
    min_version: int = 0
