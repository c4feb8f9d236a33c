"""Publications and acknowledgements on a real broker, with the accelerator and without it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from tests.runtime.messaging.broker_client import TOPIC, cut, publish, queue_of, received
from tests.support.system import eventually
from workers.runtime.messaging import topology
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS, BrokerUnavailable, Unroutable
from workers.runtime.messaging.exchanges import COMMANDS, EVENTS
from workers.runtime.messaging.producer import PipelinedProducer

# -- the connection


async def test_a_broker_is_usable_only_once_it_can_publish_and_receive_replies(
    url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, consume_replies = Broker(url, "test"), PipelinedProducer._consume_replies
    seen: list[bool] = []

    async def look_first(self: PipelinedProducer, connection: Any) -> None:
        seen.append(broker.is_usable)
        await consume_replies(self, connection)

    monkeypatch.setattr(PipelinedProducer, "_consume_replies", look_first)
    await broker.connect()

    assert (seen, broker.is_usable) == ([False], True)
    await broker.stop()
    assert not broker.is_usable


async def test_a_failed_attempt_to_connect_leaves_nothing_behind(
    url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(url, "test")

    async def fail(*_: Any) -> None:
        raise ConnectionError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(PipelinedProducer, "_consume_replies", fail)
        with pytest.raises(ConnectionError):
            await broker.connect()
    assert (broker.producer.connection, broker._connection) == (None, None)

    await broker.connect()
    assert broker.is_usable
    await broker.stop()


async def test_without_a_connection_nothing_is_published(url: str) -> None:
    broker = Broker(url, "test")

    with pytest.raises(BrokerUnavailable):
        await broker.producer._publish_unconfirmed(EVENTS, TOPIC, None)
    with pytest.raises(BrokerUnavailable):
        await broker.inspect_queue("any")


async def test_a_lost_connection_of_the_consumers_is_reported(url: str, path: str) -> None:
    lost = asyncio.Event()
    broker = Broker(url, "test", on_lost=lost.set)
    await broker.connect()
    connection: Any = broker._connection
    await connection.transport.connection.close(ConnectionError("cut"))

    async with asyncio.timeout(10):
        await lost.wait()
    await broker.stop()


async def test_an_inspection_that_waited_for_another_raises_when_the_connection_is_gone(broker: Broker) -> None:
    async with broker._inspecting:
        inspection = asyncio.create_task(broker.inspect_queue("nobody"))
        await asyncio.sleep(0)
        await broker.stop()

    with pytest.raises(BrokerUnavailable):
        await inspection


async def test_a_queue_that_does_not_exist_is_none_and_others_are_still_inspected(broker: Broker, channel: Any) -> None:
    queue = await channel.declare_queue(exclusive=False, auto_delete=True)

    assert await broker.inspect_queue("nobody") is None
    assert await broker.inspect_queue(queue.name) == (0, 0)
    await queue.delete()


# -- publications


async def test_many_messages_are_confirmed_and_arrive_in_order(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)

    await asyncio.gather(*(publish(broker, b"%d" % number) for number in range(300)))

    assert [int(message.body) for message in await received(queue, 300)] == list(range(300))


async def test_a_message_arrives_with_its_properties(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)

    await publish(broker, b'{"n": 1}')

    (message,) = await received(queue, 1)
    assert (message.type, message.app_id, message.delivery_mode, message.content_type) == (
        TOPIC,
        "test",
        aio_pika.DeliveryMode.PERSISTENT,
        "application/json",
    )
    assert set(message.headers) >= {"story_id", "actor", "at_ms"}


async def test_a_body_of_many_frames_arrives_whole(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    body = bytes(range(256)) * 4000

    await publish(broker, body)

    assert [message.body for message in await received(queue, 1)] == [body]


async def test_only_the_unroutable_message_is_returned(broker: Broker, channel: Any) -> None:
    await queue_of(channel)
    topics = [TOPIC, "sample.unroutable", TOPIC, "sample.unroutable", TOPIC]

    results = await asyncio.gather(*(publish(broker, topic=topic) for topic in topics), return_exceptions=True)

    assert [isinstance(result, Unroutable) for result in results] == [topic == "sample.unroutable" for topic in topics]


async def test_a_broken_connection_raises_and_the_next_message_uses_a_new_one(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    publications = [asyncio.create_task(publish(broker)) for _ in range(20)]
    await asyncio.sleep(0)
    cut(broker)

    results = await asyncio.gather(*publications, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(error, BROKER_ERRORS) for error in failed), failed

    await publish_until_confirmed(broker, b"later")
    bodies = [message.body for message in await received(queue, len(results) - len(failed) + 1)]
    assert bodies[-1] == b"later"


async def test_a_closed_channel_fails_the_messages_that_waited_for_it(broker: Broker, channel: Any, path: str) -> None:
    """A frame for a closed channel must not be sent on the next channel with the same number."""
    if path == "library":
        pytest.skip("the library writes each frame at once")
    queue = await queue_of(channel)
    await publish(broker, b"first")
    publication = asyncio.create_task(publish(broker, b"lost"))
    await asyncio.sleep(0)
    underlay = await broker.producer._channels["durable"].get_underlay_channel()
    await underlay.close(ConnectionError("closed by the test"))

    with pytest.raises(BROKER_ERRORS):
        await publication
    await publish_until_confirmed(broker, b"next")

    assert [message.body for message in await received(queue, 2)] == [b"first", b"next"]


async def test_a_publisher_can_be_cancelled(broker: Broker) -> None:
    publication = asyncio.create_task(publish(broker, exchange=EVENTS))
    await asyncio.sleep(0)
    publication.cancel()

    with pytest.raises(asyncio.CancelledError):
        await publication


async def publish_until_confirmed(broker: Broker, body: bytes) -> None:
    """Publish a message again until it is confirmed."""

    async def is_confirmed() -> bool:
        try:
            await publish(broker, body)
        except BROKER_ERRORS:
            return False
        return True

    await eventually(is_confirmed, within=20)


# -- dead letters


async def test_a_dead_letter_is_a_confirmed_copy_with_its_reason(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    await publish(broker, b"[")
    original = await queue.get()

    await broker.producer.dead_letter(original, f"{TOPIC}@sample", "no JSON")

    dead = await channel.get_queue(topology.DEAD_QUEUE)
    (copy,) = await received(dead, 1)
    assert (copy.body, copy.message_id, copy.delivery_mode) == (b"[", original.message_id, 2)
    assert (copy.headers["x-reason"], copy.headers["x-queue"]) == ("no JSON", f"{TOPIC}@sample")


# -- acknowledgements


async def test_acknowledgements_reach_the_broker(broker: Broker, channel: Any) -> None:
    queue = await queue_of(channel)
    await asyncio.gather(*(publish(broker) for _ in range(30)))
    deliveries = [await queue.get() for _ in range(30)]

    for delivery in deliveries[:29]:
        await broker.producer.acknowledge(delivery)
    await broker.producer.flush()
    await (await channel.get_underlay_channel()).basic_recover(requeue=True)

    again = await received(queue, 1)
    assert [message.message_id for message in again] == [deliveries[29].message_id]


async def test_an_acknowledgement_over_a_closed_channel_has_no_effect(broker: Broker, channel: Any, url: str) -> None:
    name = f"kept-{uuid4()}"
    connection = await aio_pika.connect(url)
    queue = await (await connection.channel()).declare_queue(name)
    await queue.bind(COMMANDS, routing_key=name)
    await publish(broker, topic=name)
    delivery = await queue.get()
    await connection.close()

    with contextlib.suppress(*BROKER_ERRORS):
        await broker.producer.acknowledge(delivery)
    await broker.producer.flush()

    kept = await channel.get_queue(name)
    again = await kept.get()
    assert (again.message_id, again.redelivered) == (delivery.message_id, True)
    await kept.delete(if_empty=False)
