"""Live hints: who receives a hint, what a reconnected browser receives, and how often a hint is repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.base import Caller
from gateway_api.console.live import AFTER_SECONDS, REFRESH, REST_SECONDS, LiveUpdates, Viewer, hints_of

KIM, LEE = Caller(member_id="kim", role="customer"), Caller(member_id="lee", role="customer")
STAFF = Caller(member_id="choi", role="staff")
BOOKED = ("video_rental.rentals.video_booked", {"member_id": "kim"})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(clock: Clock) -> LiveUpdates:
    listening = LiveUpdates("amqp://nobody", clock)
    listening._start_epoch()
    return listening


def missed(live: LiveUpdates, caller: Caller, since: str) -> set[str]:
    return set(live.missed(caller, since))


@pytest.mark.parametrize(
    ("topic", "body", "hints"),
    [
        (*BOOKED, {("records-video_rental", "kim"), ("catalogue-video_rental", None)}),
        ("cafe.orders.order_placed", {"member_id": "kim"}, {("records-cafe", "kim")}),
        ("video_rental.videos.video_registered", {}, {("records-video_rental", ""), ("catalogue-video_rental", None)}),
        (
            "payments.refund_succeeded",
            {"payer": "kim", "purpose": "preorder.reservations"},
            {("records-payments", "kim"), ("records-preorder", "kim")},
        ),
        (
            "payments.transfer_awaited",
            {"member_id": "kim", "transfer_id": "1"},
            {("records-payments", "kim"), ("records-shop", "kim")},
        ),
        ("journal.mark_set", {}, set()),
    ],
)
def test_a_hint_names_the_changed_thing_and_its_member(topic, body, hints):
    assert set(hints_of(topic, body)) == hints


def test_only_the_member_and_staff_receive_hints_about_a_members_things(live):
    since = live.position
    live.publish(*BOOKED)

    assert missed(live, KIM, since) == {"records-video_rental", "catalogue-video_rental"}
    assert missed(live, STAFF, since) == {"records-video_rental", "catalogue-video_rental"}
    assert missed(live, LEE, since) == {"catalogue-video_rental"}


def test_a_hint_without_a_member_is_for_staff_only(live):
    since = live.position
    live.publish("payments.payment_voided", {"payer": ""})

    assert missed(live, KIM, since) == set()
    assert missed(live, STAFF, since) == {"records-payments"}


def test_a_reconnected_browser_receives_exactly_the_missed_hints(live):
    live.publish(*BOOKED)
    since = live.position
    live.publish("cafe.orders.order_placed", {"member_id": "kim"})

    assert missed(live, KIM, since) == {"records-cafe"}
    assert missed(live, KIM, live.position) == set()


@pytest.mark.parametrize(
    "since", ["", "-0", "another-3", "nonsense", "another-x", "{epoch}-²", "{epoch}-" + "9" * 5000]
)
def test_an_unknown_position_is_answered_with_a_full_refresh(live, since):
    assert missed(live, KIM, since.format(epoch=live.position.partition("-")[0])) == {REFRESH}


def test_a_position_that_is_too_old_is_answered_with_a_full_refresh(live, monkeypatch):
    since = live.position
    for _ in range(1_001):
        live.publish(*BOOKED)

    assert missed(live, KIM, since) == {REFRESH}


def test_a_broken_connection_to_the_broker_causes_a_full_refresh(live):
    since = live.position
    live._start_epoch()

    assert missed(live, KIM, since) == {REFRESH}


def test_a_hint_is_sent_at_once_and_repeated_until_views_have_caught_up(clock):
    viewer, given = Viewer(KIM), []
    viewer.schedule("records-cafe", clock())
    for tenth in range(200):
        given += [tenth / 10 for _ in viewer.take(clock.now + tenth / 10)]

    assert given == list(AFTER_SECONDS)


def test_a_page_drawn_before_the_views_caught_up_still_receives_the_hint(live, clock):
    live.publish(*BOOKED)
    clock.now += 0.1
    kim, lee = Viewer(KIM), Viewer(LEE)

    for viewer in (kim, lee):
        live._schedule_repetitions(viewer)

    assert kim.take(clock.now) == []
    clock.now += AFTER_SECONDS[1]
    assert set(kim.take(clock.now)) == {"records-video_rental", "catalogue-video_rental"}
    assert lee.take(clock.now) == ["catalogue-video_rental"]


def test_a_busy_system_does_not_refresh_a_page_without_end(clock):
    viewer, given = Viewer(KIM), 0
    for _ in range(1000):
        viewer.schedule("catalogue-cafe", clock())
        given += len(viewer.take(clock()))
        clock.now += 0.01

    assert given <= 10 / REST_SECONDS + 1


async def test_a_stream_ends_when_the_gateway_closes(live: LiveUpdates, monkeypatch):
    over = False

    async def nobody_listens() -> None:
        return

    monkeypatch.setattr(live, "_consume", nobody_listens)
    received: list[bytes] = []

    async def read() -> None:
        async for part in live.stream(KIM, live.position, lambda: over):
            received.append(part)  # noqa: PERF401 - the test looks at it meanwhile

    async with asyncio.timeout(5):
        reading: asyncio.Task[Any] = asyncio.create_task(read())
        while not received:
            await asyncio.sleep(0)
        live.publish(*BOOKED)
        while not any(b"records-video_rental" in part for part in received):
            await asyncio.sleep(0)
        over = True
        await reading

    assert received[0] == b"retry: 1000\n\n"
