"""Publications, requests and acknowledgements on a real broker, with the accelerator and without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import aio_pika
import pytest

from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import eventually
from workers.runtime.messaging import accelerator, envelope, topology
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS, BrokerUnavailable, Unroutable
from workers.runtime.messaging.exchanges import COMMANDS, EVENTS, REPLIES
from workers.runtime.messaging.producer import PipelinedProducer, RequestLost

TOPIC = "sample.do_work"


@pytest.fixture(params=["accelerator", "library"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    before = accelerator.is_enabled()
    accelerator.enable() if request.param == "accelerator" else accelerator.disable()
    yield request.param
    accelerator.enable() if before else accelerator.disable()


@pytest.fixture(scope="module")
async def url(servers: Servers) -> AsyncIterator[str]:
    amqp_url = await support.create_vhost(servers)
    await topology.apply(amqp_url, topology.plan([]))
    yield amqp_url
    await support.delete_vhost(servers, amqp_url)


@pytest.fixture
async def broker(url: str, path: str) -> AsyncIterator[Broker]:
    broker = Broker(url, "test")
    await broker.connect()
    yield broker
    await broker.stop()


@pytest.fixture
async def channel(url: str, path: str) -> AsyncIterator[Any]:
    connection = await aio_pika.connect(url)
    yield await connection.channel()
    await connection.close()


async def queue_of(channel: Any, topic: str = TOPIC, exchange: str = COMMANDS) -> Any:
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, routing_key=topic)
    return queue


async def publish(broker: Broker, body: bytes = b"{}", topic: str = TOPIC, exchange: str = COMMANDS) -> Any:
    return await broker.publish(
        body,
        routing_key=topic,
        exchange=envelope.exchange(exchange),
        persist=True,
        headers=envelope.durable_headers(uuid4(), None, "test"),
        message_id=str(uuid4()),
        message_type=topic,
    )


async def request(broker: Broker, body: bytes = b"{}", topic: str = TOPIC, timeout: float = 5.0, **more: Any) -> bytes:
    reply: Any = await broker.request(
        body,
        routing_key=topic,
        exchange=envelope.exchange(COMMANDS),
        timeout=timeout,
        expiration=timeout,
        message_id=str(uuid4()),
        message_type=topic,
        correlation_id=more.pop("correlation_id", str(uuid4())),
        **more,
    )
    found: bytes = reply.raw_message.body
    return found


async def reply_to(broker: Broker, raw: Any, body: bytes) -> None:
    await broker.publish(
        body,
        routing_key=raw.reply_to.partition("|")[0],
        exchange=envelope.exchange(REPLIES),
        mandatory=False,
        correlation_id=raw.correlation_id,
        message_type="done",
    )


async def drain(queue: Any) -> AsyncIterator[Any]:
    while message := await queue.get(no_ack=True, fail=False):
        yield message


async def received(queue: Any, number: int) -> list[Any]:
    """Get this number of messages, in the order of the queue."""
    found: list[Any] = []

    async def are_there() -> bool:
        found.extend([message async for message in drain(queue)])
        return len(found) >= number

    await eventually(are_there, every=0.01)
    return found


def cut(broker: Broker) -> None:
    """Break the connection for publications as a broken network would."""
    transport: Any = broker.producer.connection
    transport.transport.connection._reader_task.cancel()


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


# -- requests


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
