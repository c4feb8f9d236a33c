"""Frames that are written together arrive, and each message is confirmed or returned by itself: on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from workers.runtime.messaging.bus import BROKER_ERRORS, COMMANDS, EVENTS, Bus, Unroutable

from tests.support import servers as support
from tests.support.servers import Servers
from workers.runtime.messaging import topology
from workers.runtime.messaging.accelerator.codec import Publishing
from workers.runtime.messaging.accelerator.frame_writer import FrameWriter


@pytest.fixture
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    await topology.apply(amqp_url, topology.plan([]))
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


@pytest.fixture
async def bus(url: str) -> AsyncIterator[Bus]:
    bus = Bus(url, "test")
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def channel(url: str) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(url)
    yield await connection.channel()
    await connection.close()


async def test_a_bus_is_connected_only_once_it_can_publish_and_receive(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, listen = Bus(url, "test"), Bus._listen
    seen: list[bool] = []

    async def look_first(self: Bus, connection: Any) -> None:
        seen.append(self.connected)
        await listen(self, connection)

    monkeypatch.setattr(Bus, "_listen", look_first)
    await bus.start()

    assert (seen, bus.connected) == ([False], True)
    await bus.stop()


async def queue_of(channel: Any, topic: str, exchange: str = COMMANDS) -> Any:
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, routing_key=topic)
    return queue


def publishing(body: bytes = b"{}", topic: str = "sample.do_work", **more: Any) -> Publishing:
    return Publishing(body, topic, "test", message_id=str(uuid4()), **more)


async def test_many_messages_are_confirmed_and_arrive_in_order(bus: Bus, channel: Any) -> None:
    queue = await queue_of(channel, "sample.do_work")

    await asyncio.gather(
        *(bus.publish(COMMANDS, "sample.do_work", publishing(b"%d" % number)) for number in range(500))
    )

    bodies = [int((await queue.get(no_ack=True)).body) for _ in range(500)]
    assert bodies == list(range(500))


async def test_a_body_of_many_frames_arrives_whole(bus: Bus, channel: Any) -> None:
    queue = await queue_of(channel, "sample.do_work")
    body = bytes(range(256)) * 4000

    await bus.publish(COMMANDS, "sample.do_work", publishing(body))

    assert (await queue.get(no_ack=True)).body == body


async def test_only_the_unroutable_message_is_returned(bus: Bus, channel: Any) -> None:
    await queue_of(channel, "sample.do_work")
    topics = ["sample.do_work", "sample.unroutable", "sample.do_work", "sample.unroutable", "sample.do_work"]

    results = await asyncio.gather(
        *(bus.publish(COMMANDS, topic, publishing(topic=topic)) for topic in topics), return_exceptions=True
    )

    assert [isinstance(result, Unroutable) for result in results] == [topic == "sample.unroutable" for topic in topics]


async def test_only_the_unroutable_request_is_returned(bus: Bus, channel: Any) -> None:
    queue = await queue_of(channel, "sample.do_work")
    returned: asyncio.Queue[str] = asyncio.Queue()
    topics = ["sample.do_work", "sample.unroutable", "sample.do_work", "sample.unroutable too"]

    for topic in topics:
        await bus.request(COMMANDS, topic, publishing(topic=topic), partial(returned.put_nowait, topic))

    async with asyncio.timeout(5):
        assert {await returned.get(), await returned.get()} == {"sample.unroutable", "sample.unroutable too"}
    assert len([message async for message in drain(queue)]) == 2
    assert returned.empty()


async def test_nothing_is_kept_of_a_request_that_has_ended(bus: Bus, channel: Any) -> None:
    await queue_of(channel, "sample.do_work")
    forgets = [
        await bus.request(COMMANDS, topic, publishing(), lambda: None)
        for topic in ("sample.do_work", "sample.unroutable")
        for _ in range(5)
    ]
    exchange: Any = bus._asks[COMMANDS]
    underlay = await exchange.channel.get_underlay_channel()
    await bus.inspect_queue("any")  # its reply comes after every returned message

    for forget in forgets:
        forget()

    assert (underlay.confirmations, underlay.message_id_delivery_tag) == ({}, {})


async def test_a_lost_connection_is_reported(bus: Bus) -> None:
    lost = asyncio.Event()
    bus.on_lost = lost.set
    connection: Any = bus._connection
    connection.transport.connection._reader_task.cancel()

    async with asyncio.timeout(5):
        await lost.wait()
    assert not bus.connected


async def test_an_inspection_that_waited_for_another_raises_when_the_connection_is_gone(bus: Bus) -> None:
    async with bus._looking:
        inspection = asyncio.create_task(bus.inspect_queue("nobody"))
        await bus.stop()

    with pytest.raises(aio_pika.exceptions.AMQPConnectionError):
        await inspection


async def test_a_broken_connection_raises_and_the_next_message_uses_a_new_one(bus: Bus, channel: Any) -> None:
    queue = await queue_of(channel, "sample.do_work")
    publication = [asyncio.create_task(bus.publish(COMMANDS, "sample.do_work", publishing())) for _ in range(20)]
    await asyncio.sleep(0)
    transport: Any = bus._connection
    transport.transport.connection._reader_task.cancel()

    results = await asyncio.gather(*publication, return_exceptions=True)
    assert all(result is None or isinstance(result, BROKER_ERRORS) for result in results)

    await publish_until_confirmed(bus, publishing(b"later"))
    bodies = [message.body async for message in drain(queue)]
    assert bodies[-1] == b"later"
    assert len(bodies) > results.count(None)


async def test_a_closed_channel_fails_the_messages_that_waited_for_it(bus: Bus, channel: Any) -> None:
    """A frame for a closed channel must not be sent on the next channel with the same number."""
    queue = await queue_of(channel, "sample.do_work")
    exchange: Any = bus._told[COMMANDS]
    publication = asyncio.create_task(bus.publish(COMMANDS, "sample.do_work", publishing(b"lost")))
    await asyncio.sleep(0)
    underlay = await exchange.channel.get_underlay_channel()
    await underlay.close(ConnectionError("closed by the test"))

    with pytest.raises(BROKER_ERRORS):
        await publication
    await publish_until_confirmed(bus, publishing(b"next"))

    assert [message.body async for message in drain(queue)] == [b"next"]


async def test_a_publisher_can_be_cancelled(bus: Bus) -> None:
    publication = asyncio.create_task(bus.publish(EVENTS, "sample.work_done", publishing()))
    await asyncio.sleep(0)
    publication.cancel()

    with pytest.raises(asyncio.CancelledError):
        await publication


async def test_acknowledgements_reach_the_broker(bus: Bus, channel: Any, url: str) -> None:
    queue = await queue_of(channel, "sample.do_work")
    await asyncio.gather(*(bus.publish(COMMANDS, "sample.do_work", publishing()) for _ in range(30)))
    deliveries = [await queue.get() for _ in range(30)]

    for delivery in deliveries[:29]:
        bus.acknowledge(delivery)
    await bus.flush()
    await (await channel.get_underlay_channel()).basic_recover(requeue=True)

    again = [message async for message in drain(queue)]
    assert [message.message_id for message in again] == [deliveries[29].message_id]


async def test_an_acknowledgement_over_a_closed_channel_has_no_effect(bus: Bus, channel: Any, url: str) -> None:
    connection = await aio_pika.connect(url)
    queue = await (await connection.channel()).declare_queue("kept")
    await queue.bind(COMMANDS, routing_key="sample.do_work")
    await bus.publish(COMMANDS, "sample.do_work", publishing())
    delivery = await queue.get()
    await connection.close()

    bus.acknowledge(delivery)
    await bus.flush()

    again = await (await channel.get_queue("kept")).get()
    assert (again.message_id, again.redelivered) == (delivery.message_id, True)


class Channel:
    """The part of a channel that a frame writer uses."""

    def __init__(self, room: int = 0) -> None:
        self.write_queue: asyncio.Queue[Any] = asyncio.Queue(room)
        self.is_closed = False


async def test_a_writer_combines_frames_and_waits_for_the_socket() -> None:
    channel, writer = Channel(), FrameWriter()
    for frame in b"a", b"b":
        writer.write(channel, frame)
    first = await channel.write_queue.get()
    writer.write(channel, b"c")
    await asyncio.sleep(0)
    assert (first.payload, channel.write_queue.empty()) == (b"ab", True)

    first.drain()

    assert (await channel.write_queue.get()).payload == b"c"


async def test_a_writer_waits_while_the_queue_of_the_connection_is_full() -> None:
    channel, writer = Channel(room=1), FrameWriter()
    channel.write_queue.put_nowait(None)
    writer.write(channel, b"a")
    await asyncio.sleep(0)

    assert await channel.write_queue.get() is None
    assert (await channel.write_queue.get()).payload == b"a"


async def test_a_writer_drops_frames_of_another_connection() -> None:
    old, new, writer = Channel(), Channel(), FrameWriter(linger=60)
    writer.write(old, b"old")
    writer.write(new, b"new")

    await writer.empty(within=0)

    assert old.write_queue.empty()
    assert (await new.write_queue.get()).payload == b"new"


async def publish_until_confirmed(bus: Bus, message: Publishing) -> None:
    """Publish a message again until it is confirmed."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await bus.publish(COMMANDS, "sample.do_work", message)
            except BROKER_ERRORS:
                await asyncio.sleep(0.05)


async def drain(queue: Any) -> AsyncIterator[Any]:
    while message := await queue.get(no_ack=True, fail=False):
        yield message
