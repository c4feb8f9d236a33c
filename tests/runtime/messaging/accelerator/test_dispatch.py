"""Deliveries that are dispatched directly equal the library's messages, and keep the order of the queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
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
from workers.runtime.messaging import accelerator
from workers.runtime.messaging.accelerator.dispatch import AcceleratedMessage
from workers.runtime.messaging.accelerator.frame_reader import UnreadableHeader

QUEUE = "sample.dispatched"
delivers = st.builds(Basic.Deliver, short, st.integers(1, 2**63 - 1), st.booleans(), names, short)
TEXTS = {
    "app_id",
    "correlation_id",
    "message_id",
    "reply_to",
    "type",
    "user_id",
}
"""An empty one is none."""
SAME = {
    "body",
    "channel",
    "consumer_tag",
    "content_encoding",
    "content_type",
    "delivery_tag",
    "exchange",
    "expiration",
    "headers",
    "locked",
    "priority",
    "redelivered",
    "routing_key",
    "timestamp",
}


class OpenChannel:
    """The part of a channel that a message reads."""

    is_closed = False


@given(delivers, properties, st.binary(max_size=300))
def test_a_delivery_equals_the_message_that_the_library_makes(deliver: Basic.Deliver, beside: Any, body: bytes) -> None:
    channel: Any = OpenChannel()
    header = ContentHeader(0, len(body), beside)

    dispatched = AcceleratedMessage(channel, deliver, header, body)

    made = IncomingMessage(DeliveredMessage(deliver, header, body, channel))
    assert {name: getattr(dispatched, name) for name in SAME} == {name: getattr(made, name) for name in SAME}
    assert {name: getattr(dispatched, name) for name in TEXTS} == {name: getattr(made, name) or None for name in TEXTS}
    assert dispatched.delivery_mode in (None, made.delivery_mode)
    assert dispatched.unreadable == ""


def test_a_message_says_which_properties_could_not_be_read() -> None:
    channel: Any = OpenChannel()
    header = UnreadableHeader(0, 2, Basic.Properties(message_id="1", expiration="soon"))
    header.reason = "timestamp: 17 is no time"

    dispatched = AcceleratedMessage(channel, Basic.Deliver("c", 1, False, "x", "k"), header, b"{}")

    assert (dispatched.unreadable, dispatched.expiration) == ("timestamp: 17 is no time", None)


@pytest.fixture(autouse=True)
def _enabled() -> Iterator[None]:
    before = accelerator.is_enabled()
    assert accelerator.enable()
    yield
    if not before:
        accelerator.disable()


@pytest.fixture(scope="module")
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


@pytest.fixture
async def channel(url: str) -> AsyncIterator[Any]:
    async with await aio_pika.connect_robust(url, reconnect_interval=0.1) as connection:
        channel = await connection.channel()
        yield channel
        await channel.queue_delete(QUEUE)


class Consumer:
    """A consumer in the form that is dispatched directly."""

    def __init__(self, dispatch: Callable[[Any], None]) -> None:
        self.dispatch = dispatch

    async def consume(self, raw: Any) -> None:
        raise AssertionError("the library carried a message that is to be dispatched directly")


async def publish(channel: Any, *bodies: bytes) -> None:
    for body in bodies:
        await channel.default_exchange.publish(aio_pika.Message(body), QUEUE)


async def test_deliveries_keep_their_order_although_one_of_them_fails(channel: Any) -> None:
    dispatched: asyncio.Queue[AcceleratedMessage] = asyncio.Queue()

    def dispatch(raw: AcceleratedMessage) -> None:
        dispatched.put_nowait(raw)
        if raw.body == b"1":
            raise ValueError(raw.body)

    queue = await channel.declare_queue(QUEUE, durable=True)
    bodies = [b"0", b"", b"1", b"2" * 300_000, b"3"]
    await publish(channel, *bodies)
    await queue.consume(Consumer(dispatch).consume)

    arrived = [await dispatched.get() for _ in bodies]
    assert [raw.body for raw in arrived] == bodies
    assert all(isinstance(raw, AcceleratedMessage) for raw in arrived)


async def test_a_delivery_is_acknowledged_or_given_back(channel: Any) -> None:
    dispatched: asyncio.Queue[AcceleratedMessage] = asyncio.Queue()
    queue = await channel.declare_queue(QUEUE, durable=True)
    await publish(channel, b"kept", b"given back")
    await queue.consume(Consumer(dispatched.put_nowait).consume)

    kept, back = await dispatched.get(), await dispatched.get()
    await kept.ack()
    await back.nack(requeue=True)

    again = await dispatched.get()
    assert (again.body, again.redelivered) == (b"given back", True)
    await again.reject()
    assert (await channel.declare_queue(QUEUE, passive=True)).declaration_result.message_count == 0


async def test_a_restored_consumer_is_dispatched_directly_too(channel: Any) -> None:
    dispatched: asyncio.Queue[AcceleratedMessage] = asyncio.Queue()
    queue = await channel.declare_queue(QUEUE, durable=True)
    await queue.consume(Consumer(dispatched.put_nowait).consume)
    await publish(channel, b"held")
    held = await dispatched.get()

    underlay = await channel.get_underlay_channel()
    await underlay.connection.close(ConnectionError("cut"))

    again = await dispatched.get()
    assert isinstance(again, AcceleratedMessage)
    assert (again.body, again.redelivered) == (held.body, True)


async def test_other_consumers_receive_messages_of_the_library(channel: Any) -> None:
    received: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    queue = await channel.declare_queue(QUEUE, durable=True)
    await queue.consume(received.put)
    await publish(channel, b"plain")

    assert type(await received.get()) is IncomingMessage
