"""Every delivery ends, whatever is raised while it is handled, acknowledged, dead-lettered or given back."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import aio_pika.exceptions
import aiormq.exceptions
import asyncpg
import pytest
import sqlalchemy.exc
import structlog

from workers.runtime.messaging import delivery as module
from workers.runtime.messaging.delivery import FIRST_DELAY, LONGEST_DELAY, Delivery
from workers.runtime.messaging.errors import BrokerUnavailable, Unroutable
from workers.runtime.messaging.producer import RequestLost

ARGUMENTS: list[tuple[Any, ...]] = [
    (),
    ("broken",),
    ("select 1", {}, ValueError("broken")),
    ("relation", "table"),
    (320, "CONNECTION_FORCED"),
    ("utf-8", b"\xff", 0, 1, "invalid start byte"),
    (None, None),
]


def instance(kind: type[BaseException]) -> BaseException | None:
    """An exception of this class with the first arguments that it takes; None when it takes none of them."""
    for arguments in ARGUMENTS:
        try:
            return kind(*arguments)
        except Exception:
            continue
    return None


def exported(module: ModuleType) -> set[type[BaseException]]:
    kinds = (found for found in vars(module).values() if isinstance(found, type))
    return {kind for kind in kinds if issubclass(kind, Exception) and instance(kind) is not None}


KINDS = sorted(
    {
        *(exported(asyncpg) | exported(sqlalchemy.exc) | exported(aio_pika.exceptions) | exported(aiormq.exceptions)),
        *(
            RecursionError,
            MemoryError,
            UnicodeDecodeError,
            RuntimeError,
            KeyError,
            TimeoutError,
            OSError,
        ),
        *(Unroutable, BrokerUnavailable, RequestLost, asyncio.CancelledError),
    },
    key=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
)


class Raw:
    """A message of the broker, and its settler; both record how the delivery ended and raise where a test says."""

    def __init__(self, *, at_once: bool = False, **errors: BaseException | None) -> None:
        self.at_once = at_once
        self.headers: dict[str, Any] = {}
        self.redelivered = False
        self.ended: list[str] = []
        self.tried: list[str] = []
        self._errors = errors

    def _end(self, how: str) -> None:
        self.tried.append(how)
        error = self._errors.get(how)
        if error is not None:
            raise error
        self.ended.append(how)

    async def nack(self, *, requeue: bool) -> None:
        assert requeue
        self._end("given_back")

    def acknowledge_at_once(self, raw: Raw) -> bool:
        assert raw is self
        if self.at_once:
            self._end("acknowledged")
        return self.at_once

    async def acknowledge(self, raw: Raw) -> None:
        assert raw is self
        self._end("acknowledged")

    async def dead_letter(self, raw: Raw, queue: str, reason: str) -> None:
        assert (raw, queue) == (self, "sample.do_work@sample")
        self._end("dead_lettered")


@pytest.fixture(autouse=True)
def _without_delays_and_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give back at once; thousands of tracebacks would take minutes to format."""
    monkeypatch.setattr(module, "FIRST_DELAY", 0)
    monkeypatch.setattr(module, "log", structlog.wrap_logger(None, processors=[_drop]))


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


async def handled(raw: Raw, handler: Any) -> Raw:
    """Handle a delivery; only a cancellation may escape."""
    delivery = Delivery(raw, "sample.do_work@sample")
    try:
        async with asyncio.timeout(5):
            await delivery.handle(handler, raw)
    except asyncio.CancelledError:
        pass
    assert delivery.ended
    return raw


async def acknowledging(delivery: Delivery) -> None:
    delivery.acknowledge()


async def dead_lettering(delivery: Delivery) -> None:
    delivery.dead_letter("nobody can read it")


async def undecided(delivery: Delivery) -> None:
    """Decide nothing."""


@pytest.mark.parametrize(
    ("handler", "ended"),
    [
        (acknowledging, ["acknowledged"]),
        (dead_lettering, ["dead_lettered", "acknowledged"]),
        (undecided, ["given_back"]),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_delivery_ends_as_its_handler_decided_or_is_given_back(
    handler: Any, ended: list[str], at_once: bool
) -> None:
    raw = Raw(at_once=at_once)

    await handled(raw, handler)

    assert raw.ended == ended


async def raising_in_handler(error: BaseException) -> list[str]:
    async def handler(delivery: Delivery) -> None:
        raise error

    return (await handled(Raw(), handler)).ended


async def raising_after_the_decision(error: BaseException) -> list[str]:
    async def handler(delivery: Delivery) -> None:
        delivery.acknowledge()
        raise error

    return (await handled(Raw(), handler)).ended


async def raising_in_acknowledge(error: BaseException) -> list[str]:
    return (await handled(Raw(acknowledged=error), acknowledging)).ended


async def raising_in_acknowledge_at_once(error: BaseException) -> list[str]:
    return (await handled(Raw(at_once=True, acknowledged=error), acknowledging)).ended


async def raising_in_dead_letter(error: BaseException) -> list[str]:
    return (await handled(Raw(dead_lettered=error), dead_lettering)).ended


async def raising_in_acknowledge_of_a_dead_letter(error: BaseException) -> list[str]:
    return (await handled(Raw(acknowledged=error), dead_lettering)).ended


async def raising_in_nack(error: BaseException) -> list[str]:
    """Return what was tried: `nack` fails when the channel is gone, and then the broker delivers the message again."""
    return (await handled(Raw(given_back=error), undecided)).tried


async def raising_in_release(error: BaseException) -> list[str]:
    """Return how a delivery ended whose acknowledgement before the end failed once."""
    raw, errors = Raw(), [error]
    acknowledge = raw.acknowledge

    async def fails_once(message: Any) -> None:
        if errors:
            raise errors.pop()
        await acknowledge(message)

    raw.acknowledge = fails_once  # type: ignore[method-assign, assignment]

    async def handler(delivery: Delivery) -> None:
        await delivery.release(raw)
        delivery.acknowledge()

    return (await handled(raw, handler)).ended


ENDS = {
    raising_in_handler: ["given_back"],
    raising_after_the_decision: ["given_back"],
    raising_in_acknowledge: ["given_back"],
    raising_in_acknowledge_at_once: ["given_back"],
    raising_in_dead_letter: ["given_back"],
    raising_in_acknowledge_of_a_dead_letter: ["dead_lettered", "given_back"],
    raising_in_nack: ["given_back"],
    raising_in_release: ["acknowledged"],
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
async def test_a_delivery_ends_whatever_is_raised_and_wherever(kind: type[BaseException]) -> None:
    error = instance(kind)
    assert error is not None

    ended = {place.__name__: await place(error) for place in ENDS}

    expected = {place.__name__: ends for place, ends in ENDS.items()}
    if kind is asyncio.CancelledError:
        expected["raising_in_release"] = ["given_back"]
    assert ended == expected


async def test_a_released_delivery_ends_once() -> None:
    raw = Raw()

    async def handler(delivery: Delivery) -> None:
        await delivery.release(raw)
        await delivery.release(raw)
        delivery.acknowledge()

    await handled(raw, handler)

    assert raw.ended == ["acknowledged"]


async def test_a_handling_that_is_cancelled_while_its_delivery_waits_to_be_given_back_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 60)
    monkeypatch.setattr(module, "LONGEST_DELAY", 60)
    raw = Raw()
    delivery = Delivery(raw, "q")
    handling = asyncio.create_task(delivery.handle(undecided, raw))
    while not delivery.ended:
        await asyncio.sleep(0)

    handling.cancel()

    async with asyncio.timeout(10):
        await asyncio.wait({handling})
    assert raw.ended == ["given_back"]


@pytest.mark.parametrize(
    ("headers", "redelivered", "seconds"),
    [
        ({}, False, FIRST_DELAY),
        ({}, True, 2 * FIRST_DELAY),
        ({"x-delivery-count": 2}, True, 4 * FIRST_DELAY),
        ({"x-delivery-count": 10**9}, True, LONGEST_DELAY),
        ({"x-delivery-count": "many"}, True, 2 * FIRST_DELAY),
        (None, False, FIRST_DELAY),
    ],
)
def test_the_delay_doubles_with_each_redelivery_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, headers: Any, redelivered: bool, seconds: float
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", FIRST_DELAY)
    raw = Raw()
    raw.headers, raw.redelivered = headers, redelivered

    assert Delivery(raw, "q").delay() == seconds
