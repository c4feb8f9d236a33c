"""Consumers on a connection of their own, for what is no handler: batches of a queue or a stream, and live events.

The connection is not used again after a failure: `on_closed` is called once it, the channel or the consumer is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitMessage, RabbitQueue

from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.envelope import exchange
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.exchanges import EVENTS

OnMessage = Callable[[Any], None]
"""Called with each message, in the order of the queue; it acknowledges the message, or leaves it to be delivered again.
"""


@asynccontextmanager
async def consume(
    url: str,
    name: str,
    queue: str,
    on_message: OnMessage,
    on_closed: Callable[[], None],
    *,
    prefetch: int,
    arguments: dict[str, Any] | None = None,
) -> AsyncIterator[None]:
    """Consume an existing queue or stream; raises one of `BROKER_ERRORS` or OSError when it cannot be consumed."""
    broker = Broker(url, name, publishes=False, on_lost=on_closed)
    subscriber = broker.subscriber(
        RabbitQueue(queue, declare=False, robust=False),
        channel=Channel(prefetch_count=prefetch, publisher_confirms=False),
        consume_args=arguments,
        no_reply=True,
    )
    async with _running(broker, subscriber, on_message, on_closed):
        yield


@asynccontextmanager
async def consume_events(
    url: str, name: str, on_message: OnMessage, on_closed: Callable[[], None], *, queue_limit: int
) -> AsyncIterator[None]:
    """Consume all events from now on, without acknowledgements, over a temporary queue of at most `queue_limit`.

    The oldest events are dropped when there are more. Raises as `consume` does.
    """
    broker = Broker(url, name, publishes=False, on_lost=on_closed)
    subscriber = broker.subscriber(
        RabbitQueue(
            f"yeyak.live.{uuid4().hex}",
            durable=False,
            exclusive=True,
            auto_delete=True,
            robust=False,
            routing_key="#",
            arguments={"x-max-length": queue_limit},
        ),
        exchange(EVENTS),
        ack_policy=AckPolicy.ACK_FIRST,
        no_reply=True,
    )
    async with _running(broker, subscriber, on_message, on_closed):
        yield


@asynccontextmanager
async def _running(
    broker: Broker, subscriber: Any, on_message: OnMessage, on_closed: Callable[[], None]
) -> AsyncIterator[None]:
    """Start a broker whose subscriber passes each message to `on_message`; stop it at the end."""

    def collect(delivery: Delivery) -> bool:
        delivery.mark_ended()
        on_message(delivery.raw)
        return True

    async def handle(delivery: Delivery) -> None:
        collect(delivery)

    async def registered(message: RabbitMessage) -> None:
        """FastStream starts only subscribers that have a function; the deliveries go to `collect`."""

    subscriber(registered)
    subscriber.attach(handle, broker.producer, collect)
    subscriber.on_cancelled = on_closed
    try:
        await broker.start()
        yield
    finally:
        with contextlib.suppress(*BROKER_ERRORS):
            await broker.stop()
