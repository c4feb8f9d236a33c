"""The consumers of a context: FastStream consumes its queues, and each delivery is dispatched as it arrives.

Durable messages and requests have a channel each, so that neither waits for the other's prefetch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from aio_pika.abc import AbstractIncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from workers.runtime.messaging.accelerator.dispatch import at_once
from workers.runtime.messaging.bus import BROKER_ERRORS, CONNECT_SECONDS, Bus
from workers.runtime.messaging.subscriptions import QueueOwner
from workers.runtime.observability.log_events import DELIVERY_FAILED, QUEUES_MISSING, QUEUES_RESTORED
from workers.runtime.settings import Settings

log = structlog.get_logger()

CANCEL_SECONDS = 3.0


async def _cancel(subscriber: Any) -> None:
    """Stop deliveries first: a message that came while FastStream stops would lose its reply with the connection."""
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag
    if queue is None or tag is None:
        return
    with contextlib.suppress(*BROKER_ERRORS):
        async with asyncio.timeout(CANCEL_SECONDS):  # the library's own begins only once the broker is back
            await queue.cancel(tag)
        subscriber._consumer_tag = None


async def _placeholder(_: Any) -> None:
    """Placeholder handler: deliveries are dispatched before FastStream would call it."""


class Consumers:
    """The consumers of one context; `deliver` handles a delivery, unless `collect` takes it into a batch."""

    def __init__(
        self,
        owner: QueueOwner,
        bus: Bus,
        settings: Settings,
        collect: Callable[[AbstractIncomingMessage, Any], bool],
        deliver: Callable[[AbstractIncomingMessage, Any], Awaitable[None]],
    ) -> None:
        self._owner = owner
        self._bus = bus
        self._settings = settings
        self._collect = collect
        self._deliver = deliver
        self.prefetch = settings.prefetch
        self.broker: RabbitBroker | None = None
        self.deliveries: set[asyncio.Task[Any]] = set()
        """Those that are not yet acknowledged or given back."""
        self.missing: list[str] = []
        """Queues of this context that the broker does not have."""

    async def start(self) -> None:
        """Consume every queue."""
        broker = RabbitBroker(
            self._settings.amqp_url.get_secret_value(),
            logger=None,
            apply_types=False,
            graceful_timeout=self._settings.drain_seconds,
            timeout=CONNECT_SECONDS,
            reconnect_interval=0.5,
            client_properties={"connection_name": f"{self._bus.name}: consumer"},  # type: ignore[arg-type]  # RabbitMQ reads it
        )
        requests, durable = Channel(prefetch_count=self.prefetch), Channel(prefetch_count=self.prefetch)
        for queue, subscription in self._owner.queues().items():
            subscriber = broker.subscriber(
                RabbitQueue(queue, declare=False),
                channel=durable if subscription.message.delivery() == "durable" else requests,
                ack_policy=AckPolicy.MANUAL,
                no_reply=True,
            )
            subscriber(_placeholder)
            subscriber.consume = at_once(partial(self._dispatch, subscription))  # type: ignore[method-assign, assignment]
        await broker.start()
        self.broker = broker

    def _dispatch(self, subscription: Any, raw: AbstractIncomingMessage) -> None:
        if not self._collect(raw, subscription):
            task: asyncio.Task[Any] = asyncio.ensure_future(self._deliver(raw, subscription))
            self.deliveries.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning(DELIVERY_FAILED, context=self._bus.name, error=repr(error))

    async def finish(self, within: float) -> None:
        """Stop deliveries, and wait for those under way."""
        if self.broker is not None:
            await asyncio.gather(*map(_cancel, self.broker.subscribers))
        if self.deliveries:
            await asyncio.wait(set(self.deliveries), timeout=within)

    async def stop(self) -> None:
        """Disconnect; the broker delivers again what was not acknowledged."""
        if self.broker is not None:
            await self.broker.stop()

    async def check_queues(self) -> None:
        """Find queues that are missing, and bind the others again: no client can see a missing binding."""
        missing = []
        for queue, subscription in self._owner.queues().items():
            if await self._bus.inspect_queue(queue) is None:
                missing.append(queue)
                continue
            for key in subscription.keys:
                await self._bus.bind(queue, subscription.message.exchange, key)
        if missing:
            log.error(QUEUES_MISSING, context=self._bus.name, queues=missing, remedy="yeyak topology apply")
        if self.missing and not missing:
            log.warning(QUEUES_RESTORED, context=self._bus.name)
            await self._restart()
        self.missing = missing

    async def _restart(self) -> None:
        old, self.broker = self.broker, None
        await self.start()
        if old is not None:
            await old.stop()
