"""A worker at work: its queues, its database, its loops.

Deliveries come from FastStream; acknowledgement is decided here and nowhere else. In this order, each only after the
commit: reply, say, acknowledge.
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
from storage.database import CONNECTION_ERRORS, Database, is_transient
from storage.inbox import Inbox
from workers.runtime.delays import delays
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus, Unroutable
from workers.runtime.messaging.consumers import Consumers
from workers.runtime.messaging.envelope import Envelope, Unreadable, read_body
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.observability import tracing
from workers.runtime.observability.reports import Reports
from workers.runtime.processing import failpoints
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.batcher import TransactionBatcher
from workers.runtime.processing.outbox import OutboxRelay
from workers.runtime.processing.processor import (
    BEHIND_FOR_SECONDS,
    LOOK_AGAIN_SECONDS,
    SILENCE,
    TRIES,
    UNAVAILABLE,
    MessageProcessor,
    ProcessingResult,
    Requeue,
    answered,
    refused,
)
from workers.runtime.processing.scheduler import InboxScheduler
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.settings import Settings
from workers.runtime.worker import Handler, Worker

log = structlog.get_logger()

Resource = TypeVar("Resource")
BODY_LIMIT = 1_000_000
BURY_AGAIN_SECONDS = 0.5
STATUS_SECONDS = 10
"""How often a process tells the journal how it stands."""


class WorkerRuntime:
    """One worker's handlers, running."""

    away: tuple[type[Exception], ...] = CONNECTION_ERRORS
    """What reading raises when the database is away."""

    def __init__(self, worker: Worker, settings: Settings) -> None:
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
        self.batcher = TransactionBatcher(self)
        self.scheduler = InboxScheduler(self)
        self.rpc.on_outcome = self.reports.asked
        self.consumers = Consumers(self)
        self.on_handled: Callable[[Envelope, ProcessingResult, float], None] = lambda envelope, verdict, took: None
        self.prefetch = settings.prefetch
        self._delay = delays(settings.delay_ms).get(worker.name)
        self._resources: dict[type, Any] = {}
        self._stack = AsyncExitStack()
        self._at_work: dict[UUID, str] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False

    # -- life

    async def start(self) -> None:
        """Connect, open resources, consume, and run the loops."""
        await self.bus.start()
        await self.rpc.start()
        await self.open()
        await self.consumers.start()
        self.loops()

    async def open(self) -> None:
        """Open the database and what the handlers use."""
        await self.database.start()
        for kind, opener in self.worker.openers.items():
            self._resources[kind] = await self._stack.enter_async_context(asynccontextmanager(opener)(self.settings))

    def loops(self) -> None:
        """What runs beside the deliveries."""
        settings = self.settings
        self.every(settings.tick_seconds, self.scheduler.run)
        self.every(settings.relay_after_seconds / 2, self.outbox.relay_leftovers)
        self.every(0.2, self.outbox.flush)
        self.every(0.25, self.reports.flush)
        self.every(STATUS_SECONDS, self.report_status)
        self.every(600, self._forget)
        self.every(settings.check_queues_seconds, self.consumers.check_queues)
        for seconds, function in self.worker.loops:
            self.every(seconds, partial(function, self))

    async def stop(self) -> None:
        """Stop consuming, finish what was begun, say what is left to say, and go."""
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        await self.consumers.finish(self.settings.drain_seconds)
        await self.drain()
        await self.bus.flush()
        await self.consumers.stop()
        await self.rpc.stop()
        self.availability.stop()
        await self.bus.stop()
        await self.close()

    async def drain(self) -> None:
        """Say what is left to say."""
        for last in (self.outbox.drain, self.reports.flush):
            with contextlib.suppress(*CONNECTION_ERRORS, *BROKER_ERRORS):
                await last()

    async def close(self) -> None:
        """Close what `open` opened."""
        await self._stack.aclose()
        await self.database.close()

    def resource(self, kind: type[Resource]) -> Resource:
        """What a `@worker.resource` of this type opened; raises KeyError when there is none."""
        opened: Resource = self._resources[kind]
        return opened

    def readiness(self) -> dict[str, bool]:
        """What must hold before this context can serve."""
        return {
            "broker": self.bus.connected,
            "database": self.availability.is_available,
            "consumers": self.consumers.broker is not None and not self.consumers.missing,
            "not_draining": not self._stopping,
        }

    def every(self, seconds: float, function: Callable[[], Awaitable[Any]]) -> None:
        """Run a function again and again while the database is there; what it raises is logged, and it goes on."""

        async def loop() -> None:
            while not self._stopping:
                await asyncio.sleep(seconds)
                try:
                    if await self.availability.wait(3600):
                        await function()
                except (AMQPError, TimeoutError) as error:
                    log.warning("a loop waits for the broker", context=self.name, error=repr(error))
                except self.away as error:
                    self.availability.lost(error)
                except Exception:
                    log.exception("a loop failed; it goes on", context=self.name)

        self._loops.append(asyncio.create_task(loop()))

    async def status(self) -> dict[str, Any]:
        """Counts of outbox and inbox rows, for operators."""
        async with self.database.session() as session:
            return dict(await self.inbox.status(session))

    async def report_status(self) -> None:
        """Tell the journal how this process stands."""
        breakers = {context: breaker.state for context, breaker in self.rpc.breakers.items()}
        self.reports.stands(await self.status(), all(self.readiness().values()), breakers)

    async def _forget(self) -> None:
        async with self.database.session() as session:
            while await self.inbox.forget(session, timedelta(days=self.settings.keep_answers_days)):
                pass

    # -- deliveries

    def collect(self, raw: AbstractIncomingMessage, handler: Handler) -> bool:
        """Put a delivery to others of its kind, if it is to be handled in their company."""
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
        if envelope.asked and (verdict := self._repeat(envelope)):
            await self._answer(envelope, verdict)
            self.bus.acknowledge(raw)
            return
        self._at_work[envelope.id] = envelope.digest
        try:
            await self._handle(raw, MessageProcessor(self, handler, message, envelope, received))
        finally:
            self._at_work.pop(envelope.id, None)

    def _read(self, raw: AbstractIncomingMessage, handler: Handler) -> tuple[Envelope, Message]:
        envelope = envelopes.read(raw, handler.message.topic)
        if len(raw.body) > BODY_LIMIT:
            raise Unreadable(f"the body has {len(raw.body)} bytes, more than {BODY_LIMIT}")
        if tracing.on is not None:
            tracing.arrive(tracing.on, envelope, self.name, raw.headers.get("traceparent"))
        return envelope, read_body(handler.message, raw.body)

    def _repeat(self, envelope: Envelope) -> ProcessingResult | None:
        """The same request is at work in this very process."""
        digest = self._at_work.get(envelope.id)
        if digest is None:
            return None
        return (
            ProcessingResult("still_running")
            if digest == envelope.digest
            else refused(Refused("idempotency_key_reused"))
        )

    async def _handle(self, raw: AbstractIncomingMessage, handling: MessageProcessor) -> None:
        envelope = handling.envelope
        try:
            verdict = await self._verdict(handling)
        except Requeue:
            await raw.nack(requeue=True)
            return
        if failpoints.hook:
            await failpoints.hook(self.name, "committed")
        if envelope.asked:
            await self._answer(envelope, verdict)
        if failpoints.hook:
            await failpoints.hook(self.name, "replied")
        self.outbox.publish_committed(handling.told)
        if failpoints.hook:
            await failpoints.hook(self.name, "said")
        self.bus.acknowledge(raw)
        self.note(handling, verdict)

    async def _verdict(self, handling: MessageProcessor) -> ProcessingResult:
        if handling.handler.is_query:
            return await self._look_up(handling)
        if handling.is_too_late():
            return SILENCE
        try:
            return await handling.run()
        except Requeue:
            raise
        except Exception as error:
            return await self._failed(handling, error)

    async def _look_up(self, handling: MessageProcessor) -> ProcessingResult:
        """A query: look until it is known, half a second at most; nothing is kept."""
        tries = 0
        try:
            while True:
                try:
                    answer = await self.read(handling)
                except StaleRead as behind:
                    if not handling.may_look_again(BEHIND_FOR_SECONDS):
                        return answered(behind.answer)
                except Refused as refusal:
                    if not (isinstance(refusal, RetryableNotFound) and handling.may_look_again()):
                        return refused(refusal)
                except Exception as error:
                    tries += 1
                    if tries == TRIES or not is_transient(error):
                        raise
                    continue
                else:
                    return answered(answer)
                await self.something_new(handling)
        except self.away as error:
            self.availability.lost(error)
            return UNAVAILABLE
        except Exception as error:
            log.exception("a query failed", context=self.name, topic=handling.envelope.topic, error=repr(error))
            return UNAVAILABLE

    async def something_new(self, handling: MessageProcessor) -> None:
        """Wait until another look at the same may show more."""
        await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def read(self, handling: MessageProcessor) -> Any:
        """Run a question's handler."""
        async with self.database.session() as session:
            return await handling.handler.first(handling.message, session)

    async def _answer(self, envelope: Envelope, verdict: ProcessingResult) -> None:
        if verdict.kind is None:
            return
        message = envelopes.reply(
            verdict.kind, verdict.body, envelope.correlation_id, self.name, replayed=verdict.replayed
        )
        with contextlib.suppress(*BROKER_ERRORS):
            await self.bus.reply(envelope, message)

    def note(self, handling: MessageProcessor, verdict: ProcessingResult, kind: EntryKind | None = None) -> None:
        """Count a handling, and report it to the journal."""
        took = time.monotonic() - handling.received
        self.scheduler.stir()
        self.on_handled(handling.envelope, verdict, took)
        if handling.envelope.span is not None:
            tracing.end(handling.envelope.span, verdict.outcome)
        if handling.handler.message is not RecordHandled:
            self.reports.handled(kind or handling.handler.kind, handling.envelope, verdict.outcome, took)

    async def reject(self, raw: AbstractIncomingMessage, topic: str, reason: Unreadable) -> None:
        """Send what nobody can read to the dead letters, with the reason; the neighbours go on."""
        log.error("unreadable", context=self.name, topic=topic, reason=str(reason))
        message = envelopes.dead_letter_copy(raw, f"{topic}@{self.name}", str(reason))
        try:
            await self.bus.dead_letter(topic, message)
        except (Unroutable, *BROKER_ERRORS):
            await asyncio.sleep(BURY_AGAIN_SECONDS)
            await raw.nack(requeue=True)
            return
        if raw.reply_to and raw.correlation_id:
            rpc = Envelope(
                uuid4(), topic, b"", uuid4(), None, "", reply_to=raw.reply_to, correlation_id=str(raw.correlation_id)
            )
            await self._answer(rpc, refused(Refused("invalid", reason=str(reason)[:300])))
        await raw.ack()

    # -- failures

    async def _failed(self, handling: MessageProcessor, error: Exception) -> ProcessingResult:
        """A request is answered if nothing was committed; a durable message is kept with its error, for a retry."""
        envelope = handling.envelope
        log.warning("a step failed", context=self.name, topic=envelope.topic, id=str(envelope.id), error=repr(error))
        if envelope.asked:
            return SILENCE if handling.may_have_begun else UNAVAILABLE
        await self.scheduler.keep(handling, "waiting", repr(error), failures=1)
        return ProcessingResult(None, code="retry")
