"""What the tests of a broker send and receive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from tests.support.system import eventually
from workers.runtime.messaging import envelope
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.exchanges import COMMANDS, REPLIES

TOPIC = "sample.do_work"


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
