"""One running context: its FastStream broker, its database, its background tasks.

A delivery is handled in `process`; how it ends is decided there and carried out by `messaging.delivery`. The order,
each only after the commit: reply, publish, acknowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

import structlog
from aio_pika.exceptions import AMQPError
from faststream.rabbit import Channel, RabbitQueue, RabbitResponse

from contracts.base import CATALOGUE, Event, Message, Refused
from contracts.journal import EntryKind, RecordHandled
from contracts.outcomes import Outcome
from storage.database import CONNECTION_ERRORS, Database, is_transient
from storage.inbox import Inbox
from workers.runtime.delays import delays
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.envelope import Envelope, Unreadable, read_body
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.exchanges import REPLIES
from workers.runtime.messaging.queues import QueueCheck
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.messaging.subscriber import DirectSubscriber
from workers.runtime.observability import tracing
from workers.runtime.observability.log_events import (
    BACKGROUND_TASK_FAILED,
    BROKER_UNAVAILABLE,
    HANDLER_FAILED,
    QUERY_FAILED,
)
from workers.runtime.observability.reports import Reports
from workers.runtime.processing import failpoints
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.batcher import TransactionBatcher
from workers.runtime.processing.handlers import BaseWorker, Handler
from workers.runtime.processing.health import WorkHealth
from workers.runtime.processing.outbox import OutboxRelay
from workers.runtime.processing.processor import (
    NO_REPLY,
    RECHECK_SECONDS,
    RETRY,
    STALE_READ_WAIT_SECONDS,
    TRANSIENT_TRIES,
    UNAVAILABLE,
    MessageProcessor,
    ProcessingResult,
    Requeue,
    answered,
    refused,
)
from workers.runtime.processing.scheduler import InboxScheduler
from workers.runtime.processing.services import Services
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.processing.typed import typed_function
from workers.runtime.processing.waits import NotFoundWaits
from workers.runtime.settings import Settings

log = structlog.get_logger()

Resource = TypeVar("Resource")
BODY_LIMIT = 1_000_000
STATUS_SECONDS = 10
"""How often a process reports its status to the journal."""
STUCK_SECONDS = 60.0
"""After which a delivery that has not ended makes its context unready."""


class WorkerRuntime:
    """The running handlers of one worker."""

    connection_errors: tuple[type[Exception], ...] = CONNECTION_ERRORS
    """What a read raises when the database cannot be reached."""

    def __init__(self, worker: BaseWorker, settings: Settings) -> None:
        self.worker = worker
        self.name = worker.name
        self.settings: Any = settings
        self.database = Database(settings.database_of(worker.name), size=settings.pool_size)
        self.inbox = Inbox(worker.schema)
        self.broker = Broker(settings.amqp_url.get_secret_value(), worker.name, graceful_timeout=settings.drain_seconds)
        self.rpc = RpcClient(self.broker, settings)
        self.availability = DatabaseAvailability(worker.name, self.database)
        self.reports = Reports(worker.name, self.broker)
        self.outbox = OutboxRelay(worker.name, self.database, self.inbox, self.broker, settings)
        self.services = Services(
            name=worker.name,
            settings=settings,
            database=self.database,
            inbox=self.inbox,
            availability=self.availability,
            rpc=self.rpc,
            outbox=self.outbox,
            batcher=TransactionBatcher(self.database, self.inbox),
        )
        self.scheduler = InboxScheduler(self.services, worker.handlers, self.record)
        self.rpc.on_outcome = self.reports.requested
        self.queues = QueueCheck(worker, self.broker)
        self.on_handled: Callable[[Envelope, ProcessingResult, float], None] = lambda envelope, result, took: None
        self.on_applied: Callable[[float], None] = lambda lag: None
        """Called by a view for each batch, with the age of its oldest event in seconds."""
        self._delay = delays(settings.delay_ms).get(worker.name)
        self._stack = AsyncExitStack()
        self._in_progress: dict[UUID, str] = {}
        self._waits = NotFoundWaits()
        self.health = WorkHealth()
        self._tasks: list[asyncio.Task[None]] = []
        self._started = self._stopping = False
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
        requested = [handler.requests for handler in self.worker.handlers.values() if handler.requests]
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
        self.every(0.25, self.reports.flush)
        self.every(STATUS_SECONDS, self.report_status)
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
            "consumers": self._started and not self.queues.missing,
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
        if (age := self.oldest_delivery_age()) >= STUCK_SECONDS:
            found["deliveries"] = f"one has been unacknowledged for {age:.0f} s"
        return found

    def oldest_delivery_age(self) -> float:
        """Seconds since the oldest delivery was received that has not ended."""
        received = (cast(DirectSubscriber, subscriber).oldest() for subscriber in self.broker.subscribers)
        return max(0.0, time.monotonic() - min(received, default=float("inf")))

    def every(self, seconds: float, function: Callable[[], Awaitable[Any]]) -> None:
        """Run a function again and again while the database is available; what it raises is logged, and it goes on."""

        source = getattr(getattr(function, "func", function), "__name__", "task")

        async def loop() -> None:
            while not self._stopping:
                await asyncio.sleep(seconds)
                try:
                    if await self.availability.wait(3600):
                        await function()
                        self.health.succeeded(source)
                except (AMQPError, TimeoutError) as error:
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
        self.reports.status(await self.status(), all(self.readiness().values()), breakers)

    async def _forget(self) -> None:
        async with self.database.session() as session:
            while await self.inbox.delete_done(session, timedelta(days=self.settings.keep_answers_days)):
                pass

    # -- deliveries

    async def handle(self, handler: Handler, delivery: Delivery) -> None:
        """One delivery, from the queue to its reply."""
        processed = await self.process(handler, delivery)
        if processed is not None:
            await self._reply(*processed)
        if failpoints.hook:
            await failpoints.hook(self.name, "replied")

    async def respond(self, handler: Handler, delivery: Delivery) -> RabbitResponse | None:
        """One delivery on FastStream's path, which publishes the reply."""
        processed = await self.process(handler, delivery)
        if processed is None or processed[1].outcome is Outcome.NO_REPLY:
            return None
        envelope, result = processed
        return RabbitResponse(
            result.body,
            headers={"outcome": str(result.outcome), **({"replayed": True} if result.replayed else {})},
            message_type=str(result.outcome),
            content_type="application/json",
            correlation_id=envelope.correlation_id or None,
            mandatory=False,
        )

    async def process(self, handler: Handler, delivery: Delivery) -> tuple[Envelope, ProcessingResult] | None:
        """Handle a message and decide how its delivery ends; returns its result for a caller that waits."""
        raw, topic = delivery.raw, handler.message.topic
        try:
            envelope, message = self._read(raw, handler)
        except Unreadable as reason:
            delivery.dead_letter(str(reason))
            return self._unreadable(raw, topic, reason)
        if self._delay is not None:
            await self._delay.wait()
        if envelope.is_request and (repeated := self._repeat(envelope)):
            delivery.acknowledge()
            return envelope, repeated
        self._in_progress[envelope.id] = envelope.digest
        try:
            processor = MessageProcessor(self.services, handler, message, envelope, delivery.received)
            async with self._slot(processor, delivery):
                return await self._run(processor, delivery)
        finally:
            self._in_progress.pop(envelope.id, None)

    @asynccontextmanager
    async def _slot(self, processor: MessageProcessor, delivery: Delivery) -> AsyncIterator[None]:
        """The delivery slot of a message, given up while it waits: for what is not known yet, or for a reply."""
        caller, waits = processor.envelope.actor, False

        async def give_up() -> bool:
            nonlocal waits
            if not self._waits.enter(caller):
                return False
            waits = True
            await delivery.release(self.broker.producer)
            return True

        if processor.envelope.is_request:
            processor.on_wait = give_up
        processor.on_started = partial(delivery.release, self.broker.producer)
        try:
            yield
        finally:
            if waits:
                self._waits.leave(caller)

    def _read(self, raw: Any, handler: Handler) -> tuple[Envelope, Message]:
        envelope = envelopes.read(raw, handler.message.topic)
        if len(raw.body) > BODY_LIMIT:
            raise Unreadable(f"the body has {len(raw.body)} bytes, more than {BODY_LIMIT}")
        if raw.redelivered and envelope.is_request and envelope.expires_after is None:
            raise Unreadable("a request without an expiration was delivered again")
        if tracing.on is not None:
            tracing.receive(tracing.on, envelope, self.name, envelopes.traceparent_of(raw))
        return envelope, read_body(handler.message, raw.body)

    def _unreadable(self, raw: Any, topic: str, reason: Unreadable) -> tuple[Envelope, ProcessingResult] | None:
        """The reply to a caller whose request nobody can read."""
        if not (isinstance(raw.reply_to, str) and raw.correlation_id):
            return None
        nil = UUID(int=0)
        envelope = Envelope(nil, topic, b"", nil, None, "", reply_to=raw.reply_to, correlation_id=raw.correlation_id)
        return envelope, refused(Refused("invalid", reason=str(reason)[:300]))

    def _repeat(self, envelope: Envelope) -> ProcessingResult | None:
        """The result when this very process is handling the same request already."""
        digest = self._in_progress.get(envelope.id)
        if digest is None:
            return None
        if digest != envelope.digest:
            return refused(Refused("idempotency_key_reused"))
        return ProcessingResult(Outcome.STILL_RUNNING)

    async def _run(self, processor: MessageProcessor, delivery: Delivery) -> tuple[Envelope, ProcessingResult] | None:
        try:
            result = await self._result(processor)
        except Requeue as requeue:
            delivery.requeue(repr(requeue.__cause__ or requeue))
            return None
        if failpoints.hook:
            await failpoints.hook(self.name, "committed")
        delivery.acknowledge()
        self.outbox.publish_committed(processor.outgoing)
        if failpoints.hook:
            await failpoints.hook(self.name, "said")
        self.record(processor, result)
        return (processor.envelope, result) if processor.envelope.is_request else None

    async def _result(self, processor: MessageProcessor) -> ProcessingResult:
        if processor.handler.is_query:
            return await self._answer_query(processor)
        if processor.is_too_late():
            return NO_REPLY
        try:
            return await processor.run()
        except Requeue:
            raise
        except Exception as error:
            return await self._failed(processor, error)

    async def _answer_query(self, processor: MessageProcessor) -> ProcessingResult:
        """Read until the thing is known, half a second at most; nothing is kept."""
        tries = 0
        try:
            while True:
                try:
                    answer = await self.read(processor)
                except StaleRead as stale:
                    if not await processor.begin_wait(STALE_READ_WAIT_SECONDS):
                        return answered(stale.answer)
                except Refused as refusal:
                    if not (isinstance(refusal, RetryableNotFound) and await processor.begin_wait()):
                        return refused(refusal)
                except Exception as error:
                    tries += 1
                    if tries == TRANSIENT_TRIES or not is_transient(error):
                        raise
                    continue
                else:
                    return answered(answer)
                await self.wait_for_change(processor)
        except self.connection_errors as error:
            self.availability.lost(error)
            return UNAVAILABLE
        except Exception as error:
            self.health.failed(processor.envelope.topic, repr(error), processor.envelope.id)
            log.exception(QUERY_FAILED, context=self.name, topic=processor.envelope.topic, error=repr(error))
            return UNAVAILABLE

    async def wait_for_change(self, processor: MessageProcessor) -> None:
        """Wait until another read of the same may show more."""
        await asyncio.sleep(RECHECK_SECONDS)

    async def read(self, processor: MessageProcessor) -> Any:
        """Run a query's handler."""
        async with self.database.session() as session:
            return await processor.handler.first(processor.message, session)

    async def _reply(self, envelope: Envelope, result: ProcessingResult) -> None:
        if result.outcome is Outcome.NO_REPLY or not envelope.is_request:
            return
        with contextlib.suppress(*BROKER_ERRORS):  # a caller that is gone is no error
            await self.broker.publish(
                result.body,
                routing_key=envelope.reply_to.partition("|")[0],
                exchange=envelopes.exchange(REPLIES),
                mandatory=False,
                correlation_id=envelope.correlation_id,
                headers={"replayed": True} if result.replayed else None,
                message_type=str(result.outcome),
            )

    def record(self, processor: MessageProcessor, result: ProcessingResult, kind: EntryKind | None = None) -> None:
        """Count a handling, and report it to the journal."""
        took = time.monotonic() - processor.received
        if result.outcome in (Outcome.DONE, Outcome.REFUSED):
            self.health.succeeded(processor.envelope.topic)
        self.scheduler.notify()
        self.on_handled(processor.envelope, result, took)
        if processor.envelope.span is not None:
            tracing.end(processor.envelope.span, result.label)
        if processor.handler.message is not RecordHandled:
            self.reports.handled(kind or processor.handler.kind, processor.envelope, result.label, took)

    async def _failed(self, processor: MessageProcessor, error: Exception) -> ProcessingResult:
        """A request is answered if nothing was committed; a durable message is kept with its error, for a retry."""
        envelope = processor.envelope
        self.health.failed(envelope.topic, repr(error), envelope.id)
        log.warning(
            HANDLER_FAILED,
            context=self.name,
            topic=envelope.topic,
            message_id=str(envelope.id),
            error=repr(error),
        )
        if envelope.is_request:
            return NO_REPLY if processor.may_have_committed else UNAVAILABLE
        await self.scheduler.keep(processor, "waiting", repr(error), failures=1)
        return RETRY
