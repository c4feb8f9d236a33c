"""Video rental: the catalogue."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.video_rental.videos import ChangeVideo, ListVideos, RegisterVideo, VideoState
from storage import paging
from storage.database import Session, Statement

_REGISTER = Statement("""
    insert into video_rental_videos.videos (video_id, title, daily_price, copies, status, registered_by)
    values (:video_id, :title, :daily_price, :copies, 'AVAILABLE', :registered_by) returning *""")


async def register(session: Session, video_id: UUID, command: RegisterVideo) -> VideoState:
    """Insert a video."""
    row = await session.one(
        _REGISTER,
        video_id=video_id,
        title=command.title,
        daily_price=command.daily_price,
        copies=command.copies,
        registered_by=command.caller.member_id,
    )
    return VideoState.model_validate(dict(row or {}))


_CHANGE = Statement("""
    update video_rental_videos.videos set title = coalesce(cast(:title as text), title),
      daily_price = coalesce(cast(:daily_price as bigint), daily_price),
      copies = coalesce(cast(:copies as integer), copies), status = coalesce(cast(:status as text), status),
      modified_at = now(), version = version + 1
    where video_id = :video_id
      and (cast(:expected_version as integer) is null or version = :expected_version) returning *""")


async def change(session: Session, command: ChangeVideo) -> VideoState | None:
    """Change the fields that are given; None when there is no such video, or it has another version than expected."""
    row = await session.one(
        _CHANGE,
        video_id=command.video_id,
        title=command.title,
        daily_price=command.daily_price,
        copies=command.copies,
        status=command.status,
        expected_version=command.expected_version,
    )
    return VideoState.model_validate(dict(row)) if row else None


_FIND = Statement("select * from video_rental_videos.videos where video_id = :video_id")


async def find(session: Session, video_id: UUID) -> VideoState | None:
    """A video; None when there is none."""
    row = await session.one(_FIND, video_id=video_id)
    return VideoState.model_validate(dict(row)) if row else None


_NEWEST = paging.Newest(VideoState, "video_rental_videos.videos", "video_id", filters=("status",))


async def newest(session: Session, query: ListVideos) -> Page[VideoState]:
    """One page of videos, newest first."""
    return await _NEWEST.page(session, query)
