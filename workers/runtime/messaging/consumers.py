"""How a context hears: FastStream consumes its queues, and each delivery is taken as it came.

Durable messages and requests have a channel each, so that neither waits for the other's prefetch.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from aio_pika.abc import AbstractIncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from workers.runtime.messaging.accelerator.dispatch import at_once
from workers.runtime.messaging.bus import BROKER_ERRORS, CONNECT_SECONDS
from workers.runtime.worker import Handler

if TYPE_CHECKING:
    from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

CANCEL_SECONDS = 3.0


async def _cancel(subscriber: Any) -> None:
    """Have nothing more delivered: what came while FastStream stops would lose its answer with the connection."""
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag
    if queue is None or tag is None:
        return
    with contextlib.suppress(*BROKER_ERRORS):
        async with asyncio.timeout(CANCEL_SECONDS):  # the library's own begins only once the broker is back
            await queue.cancel(tag)
        subscriber._consumer_tag = None


async def _called_by_nobody(_: Any) -> None:
    """FastStream consumes for a function; deliveries are taken before they come so far."""


class Consumers:
    """The consumers of one context."""

    def __init__(self, context: WorkerRuntime) -> None:
        self._context = context
        self.broker: RabbitBroker | None = None
        self.at_work: set[asyncio.Task[Any]] = set()
        """Deliveries that are not yet acknowledged or given back."""
        self.missing: list[str] = []
        """Queues of this context that the broker does not have."""

    async def start(self) -> None:
        """Consume every queue."""
        context = self._context
        broker = RabbitBroker(
            context.settings.amqp_url.get_secret_value(),
            logger=None,
            apply_types=False,
            graceful_timeout=context.settings.drain_seconds,
            timeout=CONNECT_SECONDS,
            reconnect_interval=0.5,
            client_properties={"connection_name": f"{context.name}: hears"},  # type: ignore[arg-type]  # RabbitMQ reads it
        )
        asked, told = Channel(prefetch_count=context.prefetch), Channel(prefetch_count=context.prefetch)
        for queue, handler in context.worker.queues().items():
            subscriber = broker.subscriber(
                RabbitQueue(queue, declare=False),
                channel=told if handler.message.delivery() == "durable" else asked,
                ack_policy=AckPolicy.MANUAL,
                no_reply=True,
            )
            subscriber(_called_by_nobody)
            subscriber.consume = at_once(partial(self._take, handler))  # type: ignore[method-assign, assignment]
        await broker.start()
        self.broker = broker

    def _take(self, handler: Handler, raw: AbstractIncomingMessage) -> None:
        if not self._context.collect(raw, handler):
            task = asyncio.create_task(self._context.deliver(raw, handler))
            self.at_work.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.at_work.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("not acknowledged: it comes again", context=self._context.name, error=repr(error))

    async def finish(self, within: float) -> None:
        """Take nothing more, and wait for what is at work."""
        if self.broker is not None:
            await asyncio.gather(*map(_cancel, self.broker.subscribers))
        if self.at_work:
            await asyncio.wait(set(self.at_work), timeout=within)

    async def stop(self) -> None:
        """Leave the broker; what was not acknowledged comes again."""
        if self.broker is not None:
            await self.broker.stop()

    async def check_queues(self) -> None:
        """See whether a queue of ours is gone, and bind those of events again: nobody can see a missing binding."""
        bus, missing = self._context.bus, []
        for queue, handler in self._context.worker.queues().items():
            if await bus.inspect_queue(queue) is None:
                missing.append(queue)
                continue
            for key in handler.keys:
                await bus.bind(queue, handler.message.exchange, key)
        if missing:
            log.error("queues are missing: run `yeyak topology apply`", context=self._context.name, queues=missing)
        if self.missing and not missing:
            log.warning("the queues are back: consuming anew", context=self._context.name)
            await self._start_anew()
        self.missing = missing

    async def _start_anew(self) -> None:
        old, self.broker = self.broker, None
        await self.start()
        if old is not None:
            await old.stop()
