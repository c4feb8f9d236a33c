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
        except Exception:  # noqa: S112 - the next arguments are tried
            continue
    return None


def exported(module: ModuleType) -> set[type[BaseException]]:
    kinds = (found for found in vars(module).values() if isinstance(found, type))
    return {kind for kind in kinds if issubclass(kind, Exception) and instance(kind) is not None}


KINDS = sorted(
    {
        *(exported(asyncpg) | exported(sqlalchemy.exc) | exported(aio_pika.exceptions) | exported(aiormq.exceptions)),
        *(RecursionError, MemoryError, UnicodeDecodeError, RuntimeError, KeyError, TimeoutError, OSError, StopIteration),
        *(Unroutable, BrokerUnavailable, RequestLost, asyncio.CancelledError),
    },
    key=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


class Raw:
    """A message of the broker, and its settler; both record how the delivery ended and raise where a test says."""

    def __init__(self, **errors: BaseException | None) -> None:
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

    async def acknowledge(self, raw: Raw) -> None:
        assert raw is self
        self._end("acknowledged")

    async def dead_letter(self, raw: Raw, queue: str, reason: str) -> None:
        assert (raw, queue) == (self, "sample.do_work@sample")
        self._end("dead_lettered")


@pytest.fixture(autouse=True)
def _without_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0)


async def handled(raw: Raw, handler: Any) -> Delivery:
    """Handle a delivery; only a cancellation may escape."""
    delivery = Delivery(raw, "sample.do_work@sample")
    try:
        async with asyncio.timeout(5):
            await delivery.handle(handler, raw)
    except asyncio.CancelledError:
        pass
    assert delivery.ended
    return delivery


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
async def test_a_delivery_ends_as_its_handler_decided_or_is_given_back(handler: Any, ended: list[str]) -> None:
    raw = Raw()

    await handled(raw, handler)

    assert raw.ended == ended


@every_kind
async def test_a_delivery_whose_handler_raises_is_given_back(kind: type[BaseException]) -> None:
    raw, error = Raw(), instance(kind)
    assert error is not None

    async def handler(delivery: Delivery) -> None:
        raise error

    await handled(raw, handler)

    assert raw.ended == ["given_back"]


@every_kind
async def test_a_handler_that_raises_after_its_decision_has_its_delivery_given_back(kind: type[BaseException]) -> None:
    raw, error = Raw(), instance(kind)
    assert error is not None

    async def handler(delivery: Delivery) -> None:
        delivery.acknowledge()
        raise error

    await handled(raw, handler)

    assert raw.ended == ["given_back"]


@every_kind
async def test_a_delivery_that_cannot_be_acknowledged_is_given_back(kind: type[BaseException]) -> None:
    raw = Raw(acknowledged=instance(kind))

    await handled(raw, acknowledging)

    assert raw.ended == ["given_back"]


@every_kind
async def test_a_delivery_that_cannot_be_dead_lettered_is_given_back(kind: type[BaseException]) -> None:
    raw = Raw(dead_lettered=instance(kind))

    await handled(raw, dead_lettering)

    assert raw.ended == ["given_back"]


@every_kind
async def test_a_dead_letter_whose_original_cannot_be_acknowledged_is_given_back(kind: type[BaseException]) -> None:
    raw = Raw(acknowledged=instance(kind))

    await handled(raw, dead_lettering)

    assert raw.ended == ["dead_lettered", "given_back"]


@every_kind
async def test_a_delivery_that_cannot_be_given_back_is_left_to_the_broker(kind: type[BaseException]) -> None:
    """`nack` fails when the channel is gone: then the broker delivers the message again."""
    raw = Raw(given_back=instance(kind))

    await handled(raw, undecided)

    assert raw.tried == ["given_back"]


@every_kind
async def test_a_delivery_that_cannot_be_released_is_ended_after_its_handler(kind: type[BaseException]) -> None:
    raw, errors = Raw(), [instance(kind)]
    acknowledge = raw.acknowledge

    async def fails_once(message: Any) -> None:
        if errors and (error := errors.pop()):
            raise error
        await acknowledge(message)

    raw.acknowledge = fails_once  # type: ignore[method-assign]

    async def handler(delivery: Delivery) -> None:
        await delivery.release(raw)
        delivery.acknowledge()

    await handled(raw, handler)

    assert raw.ended == (["given_back"] if kind is asyncio.CancelledError else ["acknowledged"])


async def test_a_released_delivery_ends_once() -> None:
    raw = Raw()

    async def handler(delivery: Delivery) -> None:
        await delivery.release(raw)
        await delivery.release(raw)
        delivery.acknowledge()

    await handled(raw, handler)

    assert raw.ended == ["acknowledged"]


async def test_a_cancelled_handling_gives_its_delivery_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 60)
    monkeypatch.setattr(module, "LONGEST_DELAY", 60)
    raw, begun = Raw(), asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    handling = asyncio.create_task(Delivery(raw, "q").handle(handler, raw))
    await begun.wait()
    handling.cancel()

    async with asyncio.timeout(5):
        await asyncio.wait({handling})
    assert (handling.cancelled(), raw.ended) == (True, ["given_back"])


async def test_a_handling_that_is_cancelled_while_its_delivery_waits_to_be_given_back_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 60)
    monkeypatch.setattr(module, "LONGEST_DELAY", 60)
    raw, delivery = Raw(), Delivery(Raw(), "q")
    delivery.raw = raw
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
