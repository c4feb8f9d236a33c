"""FastStream's subscriber, without its per-message stacks as long as no middleware is registered.

Both ways end in the same handler and settle the same `Delivery`. With a middleware a message takes FastStream's whole
path: parser, decoder, middlewares, the typed function, the publication of what it returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from faststream._internal.endpoint.call_wrapper import HandlerCallWrapper
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from workers.runtime.messaging.delivery import Delivery, Settler
from workers.runtime.messaging.errors import BROKER_ERRORS

CANCEL_SECONDS = 3.0

DeliveryHandler = Callable[[Delivery], Awaitable[None]]
Collector = Callable[[Delivery], bool]

current_delivery: ContextVar[Delivery | None] = ContextVar("current_delivery", default=None)
"""The delivery that FastStream's path is handling."""


class DeliveryCall(HandlerCallWrapper[..., Any]):
    """The function that FastStream registers, called with the delivery.

    Its types are for the AsyncAPI document. FastStream would validate by them, and a body that nobody can read would
    come back without an end.
    """

    async def call_wrapped(self, message: Any) -> Any:
        """Call the function, below FastStream's middlewares."""
        if self.is_test:
            await self._recorder.record(message)
        return await self._declared_call(current_delivery.get() or Delivery(message.raw_message, ""))


class DirectSubscriber(RabbitSubscriber):
    """Consumes one queue; `attach` gives it what handles the deliveries."""

    _call_wrapper_class = DeliveryCall

    _handler: DeliveryHandler | None = None
    _collect: Collector | None = None
    _settler: Settler | None = None
    _accepts = False
    _tasks: set[asyncio.Task[None]]
    _deliveries: set[Delivery]
    on_cancelled: Callable[[], None] | None = None
    """Called when the broker cancels the consumer, because its queue is gone."""

    def attach(self, handler: DeliveryHandler, settler: Settler, collect: Collector | None = None) -> None:
        """Have `handler` handle each delivery, unless `collect` takes it into a batch, which then ends it."""
        self._handler, self._settler, self._collect = handler, settler, collect
        self._tasks, self._deliveries = set(), set()

    def oldest(self) -> float:
        """When the oldest delivery that is being handled was received (monotonic); infinite when there is none."""
        return min((delivery.received for delivery in self._deliveries if not delivery.ended), default=float("inf"))

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """Those that handle a delivery."""
        return self._tasks if self._handler is not None else set()

    async def consume(self, msg: Any) -> Any:
        """Called by aio-pika with each message."""
        if self._handler is None:
            return await super().consume(msg)
        self.dispatch(msg)
        return None

    def dispatch(self, msg: Any) -> None:
        """Start handling a message; its order among others is kept for those that are collected."""
        if not self._accepts:
            return  # the consumer was cancelled: the broker delivers the message again
        delivery = Delivery(msg, self.queue.name)
        if self._broker_middlewares:
            self._start(delivery, self._through_middlewares(delivery))
        elif self._collect is None or not self._collect(delivery):
            self._start(delivery, self._direct(delivery))

    def _start(self, delivery: Delivery, handling: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(handling)
        self._tasks.add(task)
        self._deliveries.add(delivery)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._deliveries.discard(delivery))

    async def _direct(self, delivery: Delivery) -> None:
        assert self._handler is not None
        assert self._settler is not None
        with self.lock:
            await delivery.handle(self._handler, self._settler)

    async def _through_middlewares(self, delivery: Delivery) -> None:
        assert self._settler is not None
        await delivery.handle(self._process, self._settler)

    async def _process(self, delivery: Delivery) -> None:
        token = current_delivery.set(delivery)
        try:
            await self.process_message(delivery.raw)
        finally:
            current_delivery.reset(token)

    async def start(self) -> None:
        """Consume; deliveries may arrive before FastStream calls the subscriber running."""
        self._accepts = True
        await super().start()
        queue: Any = self._queue_obj
        if self.on_cancelled is not None and queue is not None:
            channel = await queue.channel.get_underlay_channel()
            on_cancelled = self.on_cancelled
            channel.on_consumer_cancel_callbacks.add(lambda *_: on_cancelled())

    async def stop(self) -> None:
        """Stop deliveries first, then wait for those in progress: their replies need the connection."""
        queue, tag = self._queue_obj, self._consumer_tag
        if queue is not None and tag is not None:
            self._consumer_tag = None
            with contextlib.suppress(*BROKER_ERRORS):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await queue.cancel(tag)
        await super().stop()
        self._accepts = False
