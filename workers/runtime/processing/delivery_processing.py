"""What happens to each delivery: it is read, handled in `process`, and answered.

How a delivery ends is decided here and carried out by `messaging.delivery`. The order, each only after the commit:
reply, publish, acknowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from faststream.rabbit import RabbitResponse

from contracts.base import Message, Refused
from contracts.journal import EntryKind, RecordHandled
from contracts.outcomes import Outcome
from contracts.refusals import IdempotencyKeyReused, InvalidMessage
from storage.database import CONNECTION_ERRORS, is_transient
from workers.runtime.cancellation import foreign_cancellation_as_error
from workers.runtime.delays import delays
from workers.runtime.messaging import envelope as envelopes
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.delivery import Delivery
from workers.runtime.messaging.envelope import Envelope, Unreadable, read_body
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.exchanges import REPLIES
from workers.runtime.observability import tracing
from workers.runtime.observability.log_events import HANDLER_FAILED, QUERY_FAILED
from workers.runtime.observability.reports import Reports
from workers.runtime.processing import failpoints
from workers.runtime.processing.handlers import Handler
from workers.runtime.processing.health import WorkHealth
from workers.runtime.processing.processor import (
    RECHECK_SECONDS,
    STALE_READ_WAIT_SECONDS,
    TRANSIENT_TRIES,
    MessageProcessor,
    Requeue,
)
from workers.runtime.processing.results import NO_REPLY, RETRY, UNAVAILABLE, ProcessingResult, answered, refused
from workers.runtime.processing.scheduler import InboxScheduler
from workers.runtime.processing.services import Services
from workers.runtime.processing.tx import Retryable, StaleRead
from workers.runtime.processing.waits import NotFoundWaits

log = structlog.get_logger()

BODY_LIMIT = 1_000_000


class DeliveryProcessing:
    """The deliveries of one context; a view reads in another way."""

    connection_errors: tuple[type[Exception], ...] = CONNECTION_ERRORS
    """What a read raises when the database cannot be reached."""

    def __init__(self, services: Services, broker: Broker, handlers: Mapping[str, Handler], reports: Reports) -> None:
        self.name = services.name
        self.services = services
        self.database, self.availability, self.outbox = services.database, services.availability, services.outbox
        self.broker = broker
        self.reports = reports
        self.health = WorkHealth()
        self.scheduler = InboxScheduler(services, handlers, self.record)
        self.on_handled: Callable[[Envelope, ProcessingResult, float], None] = lambda envelope, result, took: None
        self._delay = delays(services.settings.delay_ms).get(services.name)
        self._in_progress: dict[UUID, str] = {}
        self._waits = NotFoundWaits()

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
        if processed is None or handler.message.delivery() != "request":
            return None
        envelope, result = processed
        if result.outcome is Outcome.NO_REPLY:
            return None
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
            if envelope.is_request:
                processor.on_wait = partial(self._begin_wait, processor, delivery)
            processor.on_started = partial(delivery.release, self.broker.producer)
            return await self._run(processor, delivery)
        finally:
            self._in_progress.pop(envelope.id, None)

    async def _begin_wait(self, processor: MessageProcessor, delivery: Delivery) -> bool:
        """Give up the delivery slot of a message that waits for what is not known yet; False: its caller may not."""
        if not self._waits.enter(processor.envelope.actor):
            return False
        processor.waits = True
        await delivery.release(self.broker.producer)
        return True

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
        return envelope, refused(InvalidMessage(reason=str(reason)[:300]))

    def _repeat(self, envelope: Envelope) -> ProcessingResult | None:
        """The result when this very process is handling the same request already."""
        digest = self._in_progress.get(envelope.id)
        if digest is None:
            return None
        if digest != envelope.digest:
            return refused(IdempotencyKeyReused())
        return ProcessingResult(Outcome.STILL_RUNNING)

    async def _run(self, processor: MessageProcessor, delivery: Delivery) -> tuple[Envelope, ProcessingResult] | None:
        try:
            result = await self._result(processor)
        except Requeue as requeue:
            delivery.requeue(repr(requeue.__cause__ or requeue))
            return None
        finally:
            if processor.waits:
                self._waits.leave(processor.envelope.actor)
        if failpoints.hook:
            await failpoints.hook(self.name, "committed")
        delivery.acknowledge()
        self.outbox.publish_committed(processor.outgoing)
        if failpoints.hook:
            await failpoints.hook(self.name, "handed_over")
        self.record(processor, result)
        return processor.envelope, result

    async def _result(self, processor: MessageProcessor) -> ProcessingResult:
        if processor.handler.is_query:
            return await self._answer_query(processor)
        if processor.is_too_late():
            return NO_REPLY
        try:
            with foreign_cancellation_as_error():
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
                    with foreign_cancellation_as_error():
                        answer = await self.read(processor)
                except StaleRead as stale:
                    if not await processor.begin_wait(STALE_READ_WAIT_SECONDS):
                        return answered(stale.answer)
                except Refused as refusal:
                    if not (isinstance(refusal, Retryable) and await processor.begin_wait()):
                        return processor.refused(refusal)
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
