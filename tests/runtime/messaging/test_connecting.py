"""An attempt to connect that fails or is given up, at whatever await, leaves no task and no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.support.system import eventually
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.connection import connect

Close = Callable[[], Awaitable[Any]]
LONGEST = 200
"""Awaits of an attempt, at most."""


class Disturbed:
    """An awaitable that is disturbed at its n-th suspension."""

    def __init__(self, inner: Awaitable[Any], at: int, disturb: Callable[[Any], Any]) -> None:
        self._inner, self._at, self._disturb = inner, at, disturb
        self.was_reached = False

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._inner.__await__()
        advance: Callable[[], Any] = partial(steps.send, None)
        for number in range(1, LONGEST):
            try:
                waits_for = advance()
                if number == self._at:
                    self.was_reached = True
                    waits_for = self._disturb(steps) or waits_for
            except StopIteration as done:
                return done.value
            try:
                yield waits_for
            except BaseException as error:
                advance = partial(steps.throw, error)
            else:
                advance = partial(steps.send, None)
        raise AssertionError(f"more than {LONGEST} awaits")


def cancel(steps: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def fail(steps: Any) -> Any:
    return steps.throw(ConnectionResetError("reset by peer"))


def connections(url: str) -> set[Any]:
    """The addresses of this process's connections to a broker."""
    port = urlsplit(url).port
    return {one.laddr for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == port}


async def open_broker(url: str) -> Close:
    broker = Broker(url, "test")
    await broker.connect()
    return broker.stop


async def open_connection(url: str) -> Close:
    connection = await connect(url, "test")
    return connection.close


@pytest.mark.parametrize("disturb", [cancel, fail], ids=["cancelled", "failed"])
@pytest.mark.parametrize("open_one", [open_broker, open_connection], ids=["broker", "connection"])
async def test_an_attempt_that_ends_early_leaves_nothing_behind(
    url: str, path: str, open_one: Callable[[str], Awaitable[Close]], disturb: Callable[[Any], Any]
) -> None:
    tasks, before = asyncio.all_tasks(), connections(url)

    async def nothing_is_left() -> bool:
        return asyncio.all_tasks() <= tasks and connections(url) <= before

    for at in range(1, LONGEST):
        attempt = Disturbed(open_one(url), at, disturb)

        async def run(attempt: Disturbed = attempt) -> None:
            close = await attempt
            await close()

        task = asyncio.create_task(run())
        await asyncio.wait({task})
        tasks |= {task}
        await eventually(nothing_is_left, within=30)
        if not attempt.was_reached:
            assert task.exception() is None
            return
    raise AssertionError("no attempt was left undisturbed")
