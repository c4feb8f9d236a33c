"""Video rental: My Page, everything a member did, in one read."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry
from contracts.video_rental.rentals import Rental, RentalStatus


class MyPageItem(Rental):
    """A rental with its video's title, its payment and its refund."""

    title: str | None
    """None until the view has heard of the video."""


class MyPageEntry(MyPageItem):
    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class MyPage(Shape):
    items: list[MyPageItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListMyPage(Query[MyPage]):
    """The rentals of a member, or of all when `member_id` is None, newest first."""

    topic = "video_rental.my_page.list_my_page"

    member_id: str | None = None
    status: RentalStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowMyPage(Query[MyPageEntry]):
    """One rental; waits up to a second until the view has seen `min_version` of it."""

    topic = "video_rental.my_page.show_my_page"

    rental_id: UUID
    min_version: int = 0
    caller: Caller
