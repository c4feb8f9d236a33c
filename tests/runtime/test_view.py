"""A view's loop: what happens to it while the broker comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aio_pika.exceptions import ChannelInvalidStateError
from sqlalchemy.exc import NotSupportedError

from tests.support.system import eventually
from workers.registry import worker
from workers.runtime.projections import view as views
from workers.runtime.projections.view import ViewRuntime
from workers.runtime.settings import Settings


class Delivery:
    """A message that came over a channel; None: one that is gone."""

    def __init__(self, channel: object = "a channel") -> None:
        self._channel = channel
        self.said: list[str] = []
        self.headers: dict[str, object] = {}

    @property
    def channel(self) -> object:
        if self._channel is None:
            raise ChannelInvalidStateError
        return self._channel

    async def ack(self, *, multiple: bool) -> None:
        self.said.append("ack")

    async def nack(self, *, requeue: bool) -> None:
        self.said.append("nack")


@pytest.fixture
async def view(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ViewRuntime]:
    """My Page, applying what arrives to nothing."""

    async def event(raw: Any, handler: Any) -> Any:
        if handler == "unexpected":
            raise LookupError("nobody expected this")
        return views._Waiting(raw, handler)

    async def apply(*_: Any) -> None: ...

    context = worker("video_rental.my_page").runtime(Settings())
    assert isinstance(context, ViewRuntime)
    monkeypatch.setattr(context, "_event", event)
    monkeypatch.setattr(views, "apply", apply)
    monkeypatch.setattr(views, "LONGEST_PAUSE", 0)
    applying = asyncio.create_task(context._apply_all())
    yield context
    applying.cancel()


async def said(delivery: Delivery) -> list[str]:
    return delivery.said


async def test_what_came_over_a_channel_that_is_gone_is_no_reason_to_stop(view: ViewRuntime) -> None:
    lost, next_one = Delivery(channel=None), Delivery()

    view._arrived.put_nowait((lost, "event"))  # type: ignore[arg-type]
    await view._arrived.join()
    view._arrived.put_nowait((next_one, "event"))  # type: ignore[arg-type]

    assert await eventually(lambda: said(next_one)) == ["ack"]
    assert lost.said == []


async def test_a_batch_is_acknowledged_by_its_last_message(view: ViewRuntime) -> None:
    deliveries = [Delivery() for _ in range(3)]
    for delivery in deliveries:
        view._arrived.put_nowait((delivery, "event"))  # type: ignore[arg-type]

    await view._arrived.join()

    assert [delivery.said for delivery in deliveries] == [[], [], ["ack"]]


async def test_a_batch_that_fails_as_nobody_expected_comes_again_and_the_view_goes_on(view: ViewRuntime) -> None:
    unlucky, next_one = Delivery(), Delivery()

    view._arrived.put_nowait((unlucky, "unexpected"))  # type: ignore[arg-type]
    await view._arrived.join()
    view._arrived.put_nowait((next_one, "event"))  # type: ignore[arg-type]

    assert await eventually(lambda: said(next_one)) == ["ack"]
    assert unlucky.said == ["nack"]


async def test_a_batch_that_a_migration_made_invalid_is_applied_again_as_a_whole(
    view: ViewRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    translated = Exception()
    translated.__cause__ = asyncpg.InvalidCachedStatementError()
    failures, sizes = [NotSupportedError("select", {}, translated)], []
    deliveries = [Delivery() for _ in range(3)]

    async def apply(_view: Any, _store: Any, events: list[Any]) -> None:
        sizes.append(len(events))
        if failures:
            raise failures.pop()

    monkeypatch.setattr(views, "apply", apply)
    for delivery in deliveries:
        view._arrived.put_nowait((delivery, "event"))  # type: ignore[arg-type]
    await view._arrived.join()

    assert sizes == [3, 3]
    assert [delivery.said for delivery in deliveries] == [[], [], ["ack"]]
