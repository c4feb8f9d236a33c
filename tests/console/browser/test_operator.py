"""The operator's pages: stories, dead letters and the overview."""

from __future__ import annotations

import json
from uuid import uuid4

import aio_pika

from contracts.video_rental.videos import VideoRegistered
from tests.console.browser.conftest import LiveSystem, OpenBrowser
from tests.support.system import STAFF, eventually


async def test_a_story_is_found_by_its_id_and_drawn(arrive: OpenBrowser, city: LiveSystem):
    video = await city.system.video(title="Laura")
    booking = await city.system.done(city.system.booking(video))
    jung = await arrive("jung")

    async def reported() -> bool:
        await jung.go(f"/operator/story?id={booking['rental_id']}")
        return "video_booked" in await jung.page.locator("main").inner_text()

    await eventually(reported)

    picture = await jung.page.locator("svg.story").text_content() or ""
    assert "request_payment" in picture
    assert "payments" in picture
    assert await jung.axe() == []


async def test_a_dead_letter_is_read_and_replayed_with_a_reason(arrive: OpenBrowser, city: LiveSystem):
    message_id = str(uuid4())
    body = VideoRegistered.model_validate(
        {
            **dict.fromkeys(("created_at", "modified_at"), "2026-01-01T00:00:00Z"),
            "video_id": message_id,
            "title": "Back from the dead",
            "daily_price": 1000,
            "copies": 1,
            "status": "AVAILABLE",
            "registered_by": STAFF.member_id,
            "version": 1,
        }
    )
    queue = f"{VideoRegistered.topic}@video_rental.rentals"
    headers = {"x-queue": queue, "x-message-id": message_id, "x-reason": "whoever took it up crashed"}
    message = aio_pika.Message(body.model_dump_json().encode(), message_id=message_id, headers=headers)
    connection = await aio_pika.connect(city.system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        await (await channel.get_exchange("yeyak.dead", ensure=False)).publish(message, VideoRegistered.topic)
    jung = await arrive("jung")

    async def died() -> bool:
        await jung.go("/operator/dead-letters")
        return "whoever took it up crashed" in await jung.page.locator("main").inner_text()

    await eventually(died)
    assert await jung.axe() == []
    await jung.page.locator("section.panel ul a").first.click()
    await jung.sees("Back from the dead")
    await jung.fill(reason="the cause is mended")
    await jung.press("Replay")
    await jung.sees("Replayed")

    async def known() -> bool:
        rows = await city.system.rows(
            "video_rental.rentals", "select 1 from video_rental_rentals.videos where video_id::text = $1", message_id
        )
        return bool(rows)

    await eventually(known)
    assert json.loads(body.model_dump_json())["title"] == "Back from the dead"


async def test_the_overview_shows_every_context_and_draws_its_charts(arrive: OpenBrowser, city: LiveSystem):
    jung = await arrive("jung")

    async def all_there() -> bool:
        await jung.go("/operator")
        text = await jung.page.locator("main").inner_text()
        return "no report" not in text and all(name in text for name in city.system.names)

    await eventually(all_there, within=25, every=1)

    assert await jung.page.locator(".chart canvas").count() == 3
    assert await jung.axe() == []
