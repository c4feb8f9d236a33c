"""Deliveries that are dispatched directly equal the library's messages, and keep the order of the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aio_pika import IncomingMessage
from aio_pika.abc import AbstractIncomingMessage
from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tests.runtime.messaging.accelerator.test_frame_reader import names, properties, short
from tests.support import servers as support
from tests.support.servers import Servers
from workers.runtime.messaging.accelerator.dispatch import Delivery, at_once

QUEUE = "sample.taken"
delivers = st.builds(Basic.Deliver, short, st.integers(1, 2**63 - 1), st.booleans(), names, short)


class OpenChannel:
    """The part of a channel that a message reads."""

    is_closed = False


@given(delivers, properties, st.binary(max_size=300))
def test_a_delivery_equals_the_message_that_the_library_makes(deliver: Basic.Deliver, beside: Any, body: bytes) -> None:
    channel: Any = OpenChannel()
    header = ContentHeader(0, len(body), beside)

    dispatched = Delivery(channel, deliver, header, body)

    made = IncomingMessage(DeliveredMessage(deliver, header, body, channel))
    assert dispatched.info() == made.info()
    assert (dispatched.body, dispatched.channel, dispatched.processed, dispatched.locked) == (
        body,
        channel,
        False,
        False,
    )
    assert (dispatched.cluster_id, dispatched.message_count) == (made.cluster_id, made.message_count)


@pytest.fixture
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


@pytest.fixture
async def channel(url: str) -> AsyncIterator[Any]:
    async with await aio_pika.connect_robust(url, reconnect_interval=0.1) as connection:
        yield await connection.channel()


async def publish(channel: Any, *bodies: bytes) -> None:
    for body in bodies:
        await channel.default_exchange.publish(aio_pika.Message(body), QUEUE)


async def test_deliveries_keep_their_order_although_one_of_them_fails(channel: Any) -> None:
    dispatched: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    def dispatch(raw: AbstractIncomingMessage) -> None:
        dispatched.put_nowait(raw)
        if raw.body == b"1":
            raise ValueError(raw.body)

    queue = await channel.declare_queue(QUEUE, durable=True)
    bodies = [b"0", b"", b"1", b"2" * 300_000, b"3"]
    await publish(channel, *bodies)
    await queue.consume(at_once(dispatch))

    arrived = [await dispatched.get() for _ in bodies]
    assert [raw.body for raw in arrived] == bodies
    assert all(isinstance(raw, Delivery) for raw in arrived)


async def test_a_delivery_is_acknowledged_once(channel: Any) -> None:
    dispatched: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.declare_queue(QUEUE, durable=True)
    await publish(channel, b"kept", b"given back")
    await queue.consume(at_once(dispatched.put_nowait))

    kept, back = await dispatched.get(), await dispatched.get()
    await kept.ack()
    await back.nack(requeue=True)

    again = await dispatched.get()
    assert (again.body, again.redelivered) == (b"given back", True)
    with pytest.raises(aio_pika.exceptions.MessageProcessError):
        await kept.nack()


async def test_a_restored_consumer_is_dispatched_directly_too(channel: Any) -> None:
    dispatched: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.declare_queue(QUEUE, durable=True)
    await queue.consume(at_once(dispatched.put_nowait))
    await publish(channel, b"held")
    held = await dispatched.get()

    underlay = await channel.get_underlay_channel()
    await underlay.connection.close(ConnectionError("cut"))

    again = await dispatched.get()
    assert isinstance(again, Delivery)
    assert (again.body, again.redelivered) == (held.body, True)


async def test_other_consumers_receive_messages_of_the_library(channel: Any) -> None:
    received: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.declare_queue(QUEUE, durable=True)
    await queue.consume(received.put)
    await publish(channel, b"plain")

    assert type(await received.get()) is IncomingMessage
