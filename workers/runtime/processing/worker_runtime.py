"""One running context: its FastStream broker, its database, its background tasks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import structlog
from aio_pika.exceptions import AMQPError
from faststream.rabbit import Channel, RabbitQueue

from contracts.base import CATALOGUE, Event, Message
from storage.database import CONNECTION_ERRORS, Database
from storage.inbox import Inbox
from workers.runtime.cancellation import foreign_cancellation_as_error
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.batch_consumer import ConsumerClosed
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.queues import QueueCheck
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.messaging.subscriber import DirectSubscriber
from workers.runtime.observability.log_events import (
    BACKGROUND_TASK_FAILED,
    BROKER_UNAVAILABLE,
)
from workers.runtime.observability.reports import Reports
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.batcher import TransactionBatcher
from workers.runtime.processing.delivery_processing import DeliveryProcessing
from workers.runtime.processing.handlers import BaseWorker, Handler
from workers.runtime.processing.outbox import OutboxRelay
from workers.runtime.processing.services import Services
from workers.runtime.processing.typed import typed_function
from workers.runtime.settings import Settings

log = structlog.get_logger()

Resource = TypeVar("Resource")
STATUS_SECONDS = 10
"""How often a process reports its status to the journal."""
PING_SECONDS = 5.0
"""How often an idle context looks whether its database can be used."""
NOTHING_COUNTED = {"outbox": 0, "outbox_age": 0.0, "started": 0, "waiting": 0, "due": 0, "due_age": 0.0, "dead": 0}
STUCK_SECONDS = 60.0
"""After which a delivery that has not ended makes its context unready."""


class WorkerRuntime(DeliveryProcessing):
    """The running handlers of one worker."""

    def __init__(self, worker: BaseWorker, settings: Settings) -> None:
        self.worker = worker
        self.settings: Any = settings
        self.inbox = Inbox(worker.schema)
        database = Database(settings.database_of(worker.name), size=settings.pool_size)
        broker = Broker(settings.amqp_url.get_secret_value(), worker.name, graceful_timeout=settings.drain_seconds)
        self.rpc = RpcClient(broker, settings)
        services = Services(
            name=worker.name,
            settings=settings,
            database=database,
            inbox=self.inbox,
            availability=DatabaseAvailability(worker.name, partial(self.inbox.ping, database)),
            rpc=self.rpc,
            outbox=OutboxRelay(worker.name, database, self.inbox, broker, settings),
            batcher=TransactionBatcher(database, self.inbox),
        )
        super().__init__(services, broker, worker.handlers, Reports(worker.name, broker))
        self.rpc.on_outcome = self.reports.requested
        self.queues = QueueCheck(worker, broker)
        self.on_applied: Callable[[float], None] = lambda lag: None
        """Called by a view for each batch, with the age of its oldest event in seconds."""
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._started = self._stopping = False
        self._counts: dict[str, Any] = NOTHING_COUNTED
        self.declare()

    # -- FastStream

    @property
    def prefetch(self) -> int:
        """Deliveries that a channel may hold."""
        return int(self.settings.prefetch)

    def declare(self) -> None:
        """Declare the subscribers and publishers of this context with its broker."""
        requests, durable = Channel(prefetch_count=self.prefetch), Channel(prefetch_count=self.prefetch)
        for queue, handler in self.worker.queues().items():
            is_request = handler.message.delivery() == "request"
            subscriber = self.broker.subscriber(
                RabbitQueue(queue, declare=False, routing_key=handler.keys[0]),
                envelopes.exchange(handler.message.exchange),
                channel=requests if is_request else durable,
                no_reply=not is_request,
                title=f"{queue}",
                description=handler.first.__doc__,
            )
            subscriber(typed_function(handler, partial(self.respond, handler)))
            self.attach(subscriber, handler)
        for message in self.published_messages():
            self.broker.publisher(
                routing_key=message.topic,
                exchange=envelopes.exchange(message.exchange),
                persist=message.delivery() == "durable",
                message_type=message.topic,
                schema=message,
                title=f"{message.topic} by {self.name}",
                description=message.__doc__,
            )

    def attach(self, subscriber: DirectSubscriber, handler: Handler) -> None:
        """Have the deliveries of a subscriber handled here."""
        subscriber.attach(partial(self.handle, handler), self.broker.producer)

    def published_messages(self) -> list[type[Message]]:
        """What this context sends: its events, and what it orders or asks of others."""
        events = [m for m in CATALOGUE.values() if issubclass(m, Event) and m.owner() == self.name]
        requested = [callee for handler in self.worker.handlers.values() for callee in handler.requests]
        return list(dict.fromkeys([*events, *self.worker.sends, *requested]))

    # -- start and stop

    async def start(self) -> None:
        """Open resources, connect, consume, and run the background tasks."""
        await self.open()
        await self.broker.start()
        self.started()

    def started(self) -> None:
        """The broker was started: run the background tasks."""
        self._started = True
        self.start_tasks()

    async def open(self) -> None:
        """Open the database and what the handlers use."""
        await self.database.start()
        for kind, opener in self.worker.openers.items():
            self.services.resources[kind] = await self._stack.enter_async_context(
                asynccontextmanager(opener)(self.settings)
            )

    def start_tasks(self) -> None:
        """Start what runs beside the deliveries."""
        settings = self.settings
        self.every(settings.scheduler_seconds, self.scheduler.run)
        self.every(settings.relay_after_seconds / 2, self.outbox.relay_leftovers)
        self.every(0.2, self.outbox.flush)
        self.every(0.25, self.reports.flush, needs_database=False)
        self.every(STATUS_SECONDS, self.report_status, needs_database=False)
        self.every(PING_SECONDS, self.availability.check)
        self.every(600, self._forget)
        self.every(settings.check_queues_seconds, self.check_queues)
        for seconds, function in self.worker.background:
            self.every(seconds, partial(function, self))

    async def stop(self) -> None:
        """Stop consuming, finish what was begun, publish what is left, and disconnect."""
        await self.finish()
        await self.broker.stop()
        await self.close()

    async def finish(self) -> None:
        """Stop consuming, finish what was begun, and publish what is left; the broker is to be stopped next."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(subscriber.stop() for subscriber in self.broker.subscribers), return_exceptions=True)
        await self.drain()
        await self.broker.producer.flush()
        self.availability.stop()

    async def drain(self) -> None:
        """Publish what is left."""
        for last in (self.outbox.drain, self.reports.flush):
            with contextlib.suppress(*CONNECTION_ERRORS, *BROKER_ERRORS):
                await last()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._stack.aclose()
        await self.database.close()

    def resource(self, kind: type[Resource]) -> Resource:
        """What a `@worker.resource` of this type opened; raises KeyError when there is none."""
        return self.services.resource(kind)

    def readiness(self) -> dict[str, bool]:
        """The conditions under which this context can work."""
        return {
            "broker": self.broker.is_usable,
            "database": self.availability.is_available,
            "consumers": self._started and not self.queues.missing and not self.broker.is_unsteady,
            "work": not self.health.problems(),
            "deliveries": self.oldest_delivery_age() < STUCK_SECONDS,
            "not_draining": not self._stopping,
        }

    def problems(self) -> dict[str, str]:
        """What keeps this context from its work, by source, in the words of the errors."""
        found = dict(self.health.problems())
        if not self.availability.is_available:
            found["database"] = self.availability.error
        if self.queues.missing:
            found["queues"] = f"missing: {', '.join(self.queues.missing)}"
        if self.broker.is_unsteady:
            found["consumers"] = "their connection is lost again and again"
        if (age := self.oldest_delivery_age()) >= STUCK_SECONDS:
            found["deliveries"] = f"one has been unacknowledged for {age:.0f} s"
        return found

    def oldest_delivery_age(self) -> float:
        """Seconds since the oldest delivery was received that has not ended."""
        received = (cast(DirectSubscriber, subscriber).oldest() for subscriber in self.broker.subscribers)
        return max(0.0, time.monotonic() - min(received, default=float("inf")))

    def every(self, seconds: float, function: Callable[[], Awaitable[Any]], *, needs_database: bool = True) -> None:
        """Run a function again and again; what it raises is logged, and it goes on.

        One that needs the database waits while that is unavailable.
        """

        source = getattr(getattr(function, "func", function), "__qualname__", "task")

        async def loop() -> None:
            while not self._stopping:
                await asyncio.sleep(seconds)
                try:
                    if not needs_database or await self.availability.wait(3600):
                        with foreign_cancellation_as_error():
                            await function()
                        self.health.succeeded(source)
                except (AMQPError, ConsumerClosed, TimeoutError) as error:
                    self.health.failed(source, repr(error))
                    log.warning(BROKER_UNAVAILABLE, context=self.name, task=source, error=repr(error))
                except self.connection_errors as error:
                    self.availability.lost(error)
                except Exception as error:
                    self.health.failed(source, repr(error))
                    log.exception(BACKGROUND_TASK_FAILED, context=self.name, task=source)

        self._tasks.append(asyncio.create_task(loop()))

    async def check_queues(self) -> None:
        """Find missing queues; consume again those that are back."""
        if await self.queues.check():
            await self.broker.restart_subscribers()

    @property
    def missing_queues(self) -> list[str]:
        """Queues of this context that the broker does not have."""
        return self.queues.missing

    @property
    def deliveries(self) -> set[asyncio.Task[Any]]:
        """Deliveries that are being handled."""
        return {task for subscriber in self.broker.subscribers for task in cast(DirectSubscriber, subscriber).tasks}

    def view_lag(self) -> float | None:
        """The age of the oldest event that a view holds and does not show yet, in seconds; None for a writer."""
        return None

    async def status(self) -> dict[str, Any]:
        """Counts of outbox and inbox rows, for operators."""
        async with self.database.session() as session:
            return dict(await self.inbox.status(session))

    async def report_status(self) -> None:
        """Report the status of this process to the journal."""
        breakers = {context: breaker.state for context, breaker in self.rpc.breakers.items()}
        if self.availability.is_available:
            self._counts = await self.status()
        self.reports.status(self._counts, all(self.readiness().values()), breakers, self.problems())

    async def _forget(self) -> None:
        async with self.database.session() as session:
            while await self.inbox.delete_done(session, timedelta(days=self.settings.keep_answers_days)):
                pass
