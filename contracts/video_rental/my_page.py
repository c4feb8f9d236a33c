"""Video rental: My Page, a view of rentals with video title, payment and refund."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry
from contracts.refusals import NotFound
from contracts.video_rental.rentals import Rental, RentalStatus


class MyPageItem(Rental):
    """A rental with its video's title, payment and refund."""

    title: str | None
    """None until the view has received an event of the video."""


class MyPageEntry(MyPageItem):
    """A rental with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class MyPage(Shape):
    """One page of rentals; `as_of` is the time of reading."""

    items: list[MyPageItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListMyPage(Query[MyPage]):
    """The rentals of a member, or of all when `member_id` is None, newest first."""

    topic = "video_rental.my_page.list_my_page"
    refusals = ()

    member_id: str | None = None
    video_id: UUID | None = None
    status: RentalStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowMyPage(Query[MyPageEntry]):
    """One rental; waits up to one second until the view has applied its version `min_version`."""

    topic = "video_rental.my_page.show_my_page"
    refusals = (NotFound,)

    rental_id: UUID
    min_version: int = 0
    caller: Caller
