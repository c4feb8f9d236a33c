"""Video rental: the catalogue.

RegisterVideo -> VideoRegistered
ChangeVideo   -> VideoChanged
"""

from __future__ import annotations

from contracts.base import Page
from contracts.video_rental.videos import (
    ChangeVideo,
    ListVideos,
    RegisterVideo,
    ShowVideo,
    VideoChanged,
    VideoRegistered,
    VideoState,
)
from storage.database import Session
from storage.video_rental import videos as store
from workers.runtime.processing.tx import RetryableNotFound, Tx, unchanged
from workers.runtime.worker import Worker

worker = videos = Worker("video_rental.videos")


@videos.handles(RegisterVideo, replays=store.find)
async def register_video(command: RegisterVideo, tx: Tx) -> VideoState:
    video = await store.register(tx, tx.id, command)
    tx.publish(VideoRegistered.of(video))
    return video


@videos.handles(ChangeVideo)
async def change_video(command: ChangeVideo, tx: Tx) -> VideoState:
    video = await store.change(tx, command)
    if video is None:
        raise unchanged(await store.find(tx, command.video_id))
    tx.publish(VideoChanged.of(video))
    return video


@videos.handles(ShowVideo)
async def show_video(query: ShowVideo, session: Session) -> VideoState:
    video = await store.find(session, query.video_id)
    if video is None:
        raise RetryableNotFound
    return video


@videos.handles(ListVideos)
async def list_videos(query: ListVideos, session: Session) -> Page[VideoState]:
    return await store.newest(session, query)
