"""Video rental: the catalogue.

RegisterVideo -> VideoRegistered
ChangeVideo   -> VideoChanged
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, ExpectedVersion, Name, Page, Query, Shape, Won
from contracts.refusals import NotFound, StaleVersion

Copies = Annotated[int, Field(ge=0, le=100_000)]
DailyPrice = Annotated[Won, Field(gt=0, le=10_000_000)]


class VideoStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    RETIRED = "RETIRED"


class VideoState(Shape):
    """A video of the catalogue; `daily_price` in won."""

    video_id: UUID
    title: Name
    daily_price: Won
    copies: Copies
    status: VideoStatus
    registered_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class RegisterVideo(Command[VideoState]):
    topic = "video_rental.videos.register_video"
    refusals = ()

    title: Name
    daily_price: DailyPrice
    copies: Copies = 1
    caller: Caller


class ChangeVideo(Command[VideoState]):
    """Change the fields that are given; `copies` may be less than the number of copies in use."""

    topic = "video_rental.videos.change_video"
    refusals = (NotFound, StaleVersion)

    video_id: UUID
    title: Name | None = None
    daily_price: DailyPrice | None = None
    copies: Copies | None = None
    status: VideoStatus | None = None
    expected_version: ExpectedVersion | None = None


class VideoRegistered(VideoState, Event):
    topic = "video_rental.videos.video_registered"


class VideoChanged(VideoState, Event):
    topic = "video_rental.videos.video_changed"


class ShowVideo(Query[VideoState]):
    topic = "video_rental.videos.show_video"
    refusals = (NotFound,)

    video_id: UUID


class ListVideos(Query[Page[VideoState]]):
    topic = "video_rental.videos.list_videos"
    refusals = ()

    status: VideoStatus | None = None
    limit: int = 50
    cursor: str | None = None
