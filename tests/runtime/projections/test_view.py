"""A view applies events in batches: how it acknowledges them, and what it does with a batch that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aio_pika.exceptions import ChannelInvalidStateError

from contracts.video_rental.videos import VideoRegistered, VideoStatus
from ops.settings import SystemSettings
from tests.support.system import eventually
from workers.registry import worker
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.projections import view as module
from workers.runtime.projections.view import ViewRuntime


def video_registered() -> bytes:
    """Return the body of an event that the view applies."""
    now = datetime.now(UTC)
    event = VideoRegistered(
        video_id=uuid4(),
        title="Casablanca",
        daily_price=1500,
        copies=1,
        status=VideoStatus.AVAILABLE,
        registered_by="choi",
        created_at=now,
        modified_at=now,
        version=1,
    )
    return event.model_dump_json().encode()


class EventDelivery:
    """A delivered event that records how it was settled; `channel=None` is a channel that was closed meanwhile."""

    def __init__(self, body: bytes | None = None, channel: object = "a channel") -> None:
        self.body = body or video_registered()
        self.message_id = str(uuid4())
        self.type = VideoRegistered.topic
        self.app_id = "video_rental.videos"
        self.content_type = "application/json"
        self.headers: dict[str, object] = {}
        self.expiration = self.reply_to = self.correlation_id = None
        self.redelivered = False
        self.settled: list[str] = []
        self._channel = channel

    @property
    def channel(self) -> object:
        if self._channel is None:
            raise ChannelInvalidStateError
        return self._channel

    async def ack(self, *, multiple: bool = False) -> None:
        self.settled.append("ack")

    async def nack(self, *, requeue: bool) -> None:
        self.settled.append("nack")


@pytest.fixture
async def view(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ViewRuntime]:
    """My Page without a broker; it reads and acknowledges events, and writes them to no database."""

    async def apply(*_: Any) -> None:
        """Write nothing."""

    runtime = worker("video_rental.my_page").runtime(SystemSettings())
    assert isinstance(runtime, ViewRuntime)
    monkeypatch.setattr(module, "apply", apply)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0)
    await runtime.open()
    yield runtime
    await runtime.drain()
    await runtime.close()


def deliver(view: ViewRuntime, *deliveries: Any) -> None:
    handler = view.worker.handlers[VideoRegistered.topic]
    for raw in deliveries:
        assert view._collect(handler, Delivery(raw, f"{VideoRegistered.topic}@video_rental.my_page"))


async def settled(delivery: EventDelivery) -> list[str]:
    async def is_settled() -> list[str]:
        return delivery.settled

    found: list[str] = await eventually(is_settled)
    return found


async def test_an_event_whose_channel_was_closed_does_not_stop_the_view(view: ViewRuntime) -> None:
    lost, following = EventDelivery(channel=None), EventDelivery()

    deliver(view, lost)
    await view.drain()
    await view.open()
    deliver(view, following)

    assert await settled(following) == ["ack"]
    assert lost.settled == []


async def test_a_batch_is_acknowledged_by_its_last_message(view: ViewRuntime) -> None:
    deliveries = [EventDelivery() for _ in range(3)]

    deliver(view, *deliveries)

    assert await settled(deliveries[-1]) == ["ack"]
    assert [delivery.settled for delivery in deliveries[:-1]] == [[], []]


async def test_a_batch_that_fails_unexpectedly_is_requeued_and_the_view_continues(
    view: ViewRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dead_letter(*_: Any) -> None:
        raise LookupError("no such exchange")

    monkeypatch.setattr(view.broker.producer, "dead_letter", dead_letter)
    unreadable, following = EventDelivery(b"no JSON"), EventDelivery()

    deliver(view, unreadable)
    assert await settled(unreadable) == ["nack"]
    deliver(view, following)

    assert await settled(following) == ["ack"]
