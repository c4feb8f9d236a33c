"""One running context: its queues, its database, its background tasks.

Acknowledgement is decided here and nowhere else. The order, each only after the commit: reply, publish, acknowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from contracts.base import Message, Refused
from contracts.journal import EntryKind, RecordHandled
from contracts.outcomes import Outcome
from storage.database import CONNECTION_ERRORS, Database
from storage.inbox import Inbox
from workers.runtime.delays import delays
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus, Unroutable
from workers.runtime.messaging.consumers import Consumers
from workers.runtime.messaging.envelope import Envelope, Unreadable, read_body
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.observability import tracing
from workers.runtime.observability.log_events import (
    BACKGROUND_TASK_FAILED,
    BROKER_UNAVAILABLE,
    HANDLER_FAILED,
    MESSAGE_REJECTED,
    QUERY_FAILED,
)
from workers.runtime.observability.reports import Reports
from workers.runtime.processing import failpoints
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.batcher import TransactionBatcher
from workers.runtime.processing.handlers import BaseWorker, Handler
from workers.runtime.processing.outbox import OutboxRelay
from workers.runtime.processing.processor import (
    NO_REPLY,
    RECHECK_SECONDS,
    RETRY,
    STALE_READ_WAIT_SECONDS,
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
from workers.runtime.settings import Settings

log = structlog.get_logger()

Resource = TypeVar("Resource")
BODY_LIMIT = 1_000_000
REJECT_AGAIN_SECONDS = 0.5
STATUS_SECONDS = 10
"""How often a process reports its status to the journal."""


class WorkerRuntime:
    """The running handlers of one worker."""

    connection_errors: tuple[type[Exception], ...] = CONNECTION_ERRORS
    """What a read raises when the database cannot be reached."""

    def __init__(self, worker: BaseWorker, settings: Settings) -> None:
        self.worker = worker
        self.name = worker.name
        self.settings = settings
        self.database = Database(settings.database_of(worker.name), size=settings.pool_size)
        self.inbox = Inbox(worker.schema)
        self.bus = Bus(settings.amqp_url.get_secret_value(), worker.name)
        self.rpc = RpcClient(self.bus, worker.name, settings)
        self.availability = DatabaseAvailability(worker.name, self.database)
        self.reports = Reports(worker.name, self.bus)
        self.outbox = OutboxRelay(worker.name, self.database, self.inbox, self.bus, settings)
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
        self.consumers: Consumers = Consumers(worker, self.bus, settings, self.collect, self.deliver)
        self.on_handled: Callable[[Envelope, ProcessingResult, float], None] = lambda envelope, result, took: None
        self.on_applied: Callable[[float], None] = lambda lag: None
        """Called by a view for each batch, with the age of its oldest event in seconds."""
        self._delay = delays(settings.delay_ms).get(worker.name)
        self._stack = AsyncExitStack()
        self._in_progress: dict[UUID, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    # -- start and stop

    async def start(self) -> None:
        """Connect, open resources, consume, and run the background tasks."""
        await self.bus.start()
        await self.rpc.start()
        await self.open()
        await self.consumers.start()
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
        self.every(settings.tick_seconds, self.scheduler.run)
        self.every(settings.relay_after_seconds / 2, self.outbox.relay_leftovers)
        self.every(0.2, self.outbox.flush)
        self.every(0.25, self.reports.flush)
        self.every(STATUS_SECONDS, self.report_status)
        self.every(600, self._forget)
        self.every(settings.check_queues_seconds, self.consumers.check_queues)
        for seconds, function in self.worker.background:
            self.every(seconds, partial(function, self))

    async def stop(self) -> None:
        """Stop consuming, finish what was begun, publish what is left, and disconnect."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await self.consumers.finish(self.settings.drain_seconds)
        await self.drain()
        await self.bus.flush()
        await self.consumers.stop()
        await self.rpc.stop()
        self.availability.stop()
        await self.bus.stop()
        await self.close()

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
            "broker": self.bus.connected,
            "database": self.availability.is_available,
            "consumers": self.consumers.broker is not None and not self.consumers.missing,
            "not_draining": not self._stopping,
        }

    def every(self, seconds: float, function: Callable[[], Awaitable[Any]]) -> None:
        """Run a function again and again while the database is available; what it raises is logged, and it goes on."""

        async def loop() -> None:
            while not self._stopping:
                await asyncio.sleep(seconds)
                try:
                    if await self.availability.wait(3600):
                        await function()
                except (AMQPError, TimeoutError) as error:
                    log.warning(BROKER_UNAVAILABLE, context=self.name, error=repr(error))
                except self.connection_errors as error:
                    self.availability.lost(error)
                except Exception:
                    log.exception(BACKGROUND_TASK_FAILED, context=self.name)

        self._tasks.append(asyncio.create_task(loop()))

    @property
    def missing_queues(self) -> list[str]:
        """Queues of this context that the broker does not have."""
        return self.consumers.missing

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

    def collect(self, raw: AbstractIncomingMessage, handler: Handler) -> bool:
        """Take a delivery into a batch; False when it is to be handled by itself."""
        return False

    async def deliver(self, raw: AbstractIncomingMessage, handler: Handler) -> None:
        """One delivery, from the queue to its acknowledgement."""
        received = time.monotonic()
        try:
            envelope, message = self._read(raw, handler)
        except Unreadable as reason:
            await self.reject(raw, handler.message.topic, reason)
            return
        if self._delay is not None:
            await self._delay.wait()
        if envelope.is_request and (repeated := self._repeat(envelope)):
            await self._reply(envelope, repeated)
            self.bus.acknowledge(raw)
            return
        self._in_progress[envelope.id] = envelope.digest
        try:
            await self._handle(raw, MessageProcessor(self.services, handler, message, envelope, received))
        finally:
            self._in_progress.pop(envelope.id, None)

    def _read(self, raw: AbstractIncomingMessage, handler: Handler) -> tuple[Envelope, Message]:
        envelope = envelopes.read(raw, handler.message.topic)
        if len(raw.body) > BODY_LIMIT:
            raise Unreadable(f"the body has {len(raw.body)} bytes, more than {BODY_LIMIT}")
        if tracing.on is not None:
            tracing.receive(tracing.on, envelope, self.name, raw.headers.get("traceparent"))
        return envelope, read_body(handler.message, raw.body)

    def _repeat(self, envelope: Envelope) -> ProcessingResult | None:
        """The result when this very process is handling the same request already."""
        digest = self._in_progress.get(envelope.id)
        if digest is None:
            return None
        return (
            ProcessingResult(Outcome.STILL_RUNNING)
            if digest == envelope.digest
            else refused(Refused("idempotency_key_reused"))
        )

    async def _handle(self, raw: AbstractIncomingMessage, processor: MessageProcessor) -> None:
        envelope = processor.envelope
        try:
            result = await self._process(processor)
        except Requeue:
            await raw.nack(requeue=True)
            return
        if failpoints.hook:
            await failpoints.hook(self.name, "committed")
        if envelope.is_request:
            await self._reply(envelope, result)
        if failpoints.hook:
            await failpoints.hook(self.name, "replied")
        self.outbox.publish_committed(processor.outgoing)
        if failpoints.hook:
            await failpoints.hook(self.name, "said")
        self.bus.acknowledge(raw)
        self.record(processor, result)

    async def _process(self, processor: MessageProcessor) -> ProcessingResult:
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
        try:
            while True:
                try:
                    answer = await self.read(processor)
                except StaleRead as stale:
                    if not processor.may_wait(STALE_READ_WAIT_SECONDS):
                        return answered(stale.answer)
                except Refused as refusal:
                    if not (isinstance(refusal, RetryableNotFound) and processor.may_wait()):
                        return refused(refusal)
                else:
                    return answered(answer)
                await self.wait_for_change(processor)
        except self.connection_errors as error:
            self.availability.lost(error)
            return UNAVAILABLE
        except Exception as error:
            log.exception(QUERY_FAILED, context=self.name, topic=processor.envelope.topic, error=repr(error))
            return UNAVAILABLE

    async def wait_for_change(self, processor: MessageProcessor) -> None:
        """Wait until another read of the same may show more."""
        await asyncio.sleep(RECHECK_SECONDS)

    async def read(self, processor: MessageProcessor) -> Any:
        """Run a question's handler."""
        async with self.database.session() as session:
            return await processor.handler.first(processor.message, session)

    async def _reply(self, envelope: Envelope, result: ProcessingResult) -> None:
        if result.outcome is Outcome.NO_REPLY:
            return
        message = envelopes.reply(
            result.outcome, result.body, envelope.correlation_id, self.name, replayed=result.replayed
        )
        with contextlib.suppress(*BROKER_ERRORS):
            await self.bus.reply(envelope, message)

    def record(self, processor: MessageProcessor, result: ProcessingResult, kind: EntryKind | None = None) -> None:
        """Count a processor, and report it to the journal."""
        took = time.monotonic() - processor.received
        self.scheduler.notify()
        self.on_handled(processor.envelope, result, took)
        if processor.envelope.span is not None:
            tracing.end(processor.envelope.span, result.label)
        if processor.handler.message is not RecordHandled:
            self.reports.handled(kind or processor.handler.kind, processor.envelope, result.label, took)

    async def reject(self, raw: AbstractIncomingMessage, topic: str, reason: Unreadable) -> None:
        """Send an unreadable message to the dead-letter exchange, with the reason."""
        log.error(MESSAGE_REJECTED, context=self.name, topic=topic, reason=str(reason))
        message = envelopes.dead_letter_copy(raw, f"{topic}@{self.name}", str(reason))
        try:
            await self.bus.dead_letter(topic, message)
        except (Unroutable, *BROKER_ERRORS):
            await asyncio.sleep(REJECT_AGAIN_SECONDS)
            await raw.nack(requeue=True)
            return
        if raw.reply_to and raw.correlation_id:
            caller = Envelope(
                uuid4(), topic, b"", uuid4(), None, "", reply_to=raw.reply_to, correlation_id=str(raw.correlation_id)
            )
            await self._reply(caller, refused(Refused("invalid", reason=str(reason)[:300])))
        await raw.ack()

    # -- failures

    async def _failed(self, processor: MessageProcessor, error: Exception) -> ProcessingResult:
        """A request is answered if nothing was committed; a durable message is kept with its error, for a retry."""
        envelope = processor.envelope
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
