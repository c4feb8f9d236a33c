"""Requests on a real broker, with the accelerator and without it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aio_pika
import pytest

from tests.runtime.messaging.broker_client import TOPIC, cut, drain, queue_of, received, reply_to, request
from tests.support.system import eventually
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS, Unroutable
from workers.runtime.messaging.producer import RequestLost


async def test_each_request_receives_its_own_reply_in_any_order(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    requests = [asyncio.create_task(request(broker, b"%d" % number)) for number in range(20)]

    for raw in reversed(await received(queue, 20)):
        await reply_to(broker, raw, raw.body)

    assert [int(body) for body in await asyncio.gather(*requests)] == list(range(20))


async def test_a_late_reply_and_a_second_one_are_discarded(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    with pytest.raises(TimeoutError):
        await request(broker, timeout=0.05)
    late = aio_pika.Message(b"", reply_to=broker.producer.reply_queue, correlation_id="late")
    mine = asyncio.create_task(request(broker, b"mine", correlation_id="mine"))
    found = await received(queue, 1)

    await reply_to(broker, late, b"late")
    await reply_to(broker, found[-1], b"first")
    await reply_to(broker, found[-1], b"second")

    assert await mine == b"first"
    again = asyncio.create_task(request(broker, b"again"))
    await reply_to(broker, (await received(queue, 1))[-1], b"third")
    assert await again == b"third"


async def test_only_the_unroutable_request_is_returned(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    topics = [TOPIC, "sample.unroutable", TOPIC, "sample.unroutable"]
    requests = [asyncio.create_task(request(broker, topic=topic)) for topic in topics]

    for raw in await received(queue, 2):
        await reply_to(broker, raw, b"yes")

    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [result if isinstance(result, bytes) else type(result) for result in results] == [b"yes", Unroutable] * 2


async def test_nothing_is_kept_of_a_request_that_has_ended(broker: Broker, channel: Any) -> None:
    await queue_of(channel)
    topics = ("sample.unroutable", TOPIC)

    await asyncio.gather(
        *(request(broker, topic=topic, timeout=0.2) for topic in topics for _ in range(5)), return_exceptions=True
    )

    assert broker.producer._waiting == {}
    for use in ("request", "plain"):
        underlay = await broker.producer._channels[use].get_underlay_channel()
        assert (underlay.confirmations, underlay.message_id_delivery_tag) == ({}, {}), use


async def test_a_lost_connection_ends_every_request_that_waits(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    requests = [asyncio.create_task(request(broker, timeout=60)) for _ in range(3)]
    await received(queue, 3)

    cut(broker)

    async with asyncio.timeout(10):
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [RequestLost] * 3


async def test_requests_are_answered_again_over_a_new_connection(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    cut(broker)

    async def is_answered() -> bool:
        sent = asyncio.create_task(request(broker, timeout=2.0))
        while not sent.done():
            async for raw in drain(queue):
                with contextlib.suppress(*BROKER_ERRORS):
                    await reply_to(broker, raw, b"yes")
            await asyncio.sleep(0.01)
        return sent.exception() is None and sent.result() == b"yes"

    await eventually(is_answered, within=20)
