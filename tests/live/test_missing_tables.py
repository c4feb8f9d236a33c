"""A table is gone for a while: its context says so, loses nothing, and goes on by itself when the table is back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts.video_rental.my_page import ListMyPage
from contracts.video_rental.videos import ListVideos
from tests.support.system import System, customer, eventually


@asynccontextmanager
async def without(system: System, context: str, table: str) -> AsyncIterator[None]:
    schema = context.replace(".", "_")
    await system.rows(context, f"alter table {schema}.{table} rename to elsewhere")
    try:
        yield
    finally:
        await system.rows(context, f"alter table {schema}.elsewhere rename to {table}")


async def test_a_view_without_its_table_keeps_its_events_for_later(system: System) -> None:
    view, member = system.contexts["video_rental.my_page"], customer()
    video_id = await system.video()

    async def is_unready() -> bool:
        return not all(view.readiness().values()) and "timeline" in str(view.problems())

    async def is_ready() -> bool:
        return all(view.readiness().values())

    async with without(system, "video_rental.my_page", "timeline"):
        booked = await system.done(system.booking(video_id, member))
        await eventually(is_unready, within=30)

    await eventually(is_ready, within=30)

    async def shown() -> bool:
        items = await system.items(ListMyPage(member_id=member.member_id))
        return [(item["rental_id"], item["status"]) for item in items] == [(booked["rental_id"], "BOOKED")]

    await eventually(shown, within=30)
    assert await system.rows("journal", "select * from journal.dead_letters") == []


async def test_a_context_whose_statements_fail_is_not_ready_until_one_succeeds(system: System) -> None:
    videos = system.contexts["video_rental.videos"]

    async def is_unready() -> bool:
        await system.request(ListVideos(limit=10))
        return not all(videos.readiness().values())

    async with without(system, "video_rental.videos", "videos"):
        await eventually(is_unready, within=30)
        assert "videos" in str(videos.problems())

    await system.done(ListVideos(limit=10))
    assert all(videos.readiness().values())
