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
from workers.runtime.processing.tx import NotKnownYet, Tx
from workers.runtime.worker import Worker

worker = videos = Worker("video_rental.videos")


@videos.on(RegisterVideo)
async def register_video(command: RegisterVideo, tx: Tx) -> VideoState:
    video = await store.register(tx, tx.id, command)
    tx.publish(VideoRegistered.of(video))
    return video


@videos.on(ChangeVideo)
async def change_video(command: ChangeVideo, tx: Tx) -> VideoState:
    video = await store.change(tx, command)
    if video is None:
        raise NotKnownYet
    tx.publish(VideoChanged.of(video))
    return video


@videos.on(ShowVideo)
async def show_video(question: ShowVideo, session: Session) -> VideoState:
    video = await store.find(session, question.video_id)
    if video is None:
        raise NotKnownYet
    return video


@videos.on(ListVideos)
async def list_videos(question: ListVideos, session: Session) -> Page[VideoState]:
    return await store.newest(session, question)
