"""The inbox rows that are due: retries, timers, and steps whose process died between their two functions.

They are rows with `due_at`; no broker is involved. A row is leased to one handling at a time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import UUID, uuid4

import structlog

from contracts.journal import EntryKind, FileDeadLetter
from storage.database import CONNECTION_ERRORS, CommitInDoubt, Row, Session
from storage.inbox import Claim, OutboxMessage
from workers.runtime.cancellation import foreign_cancellation_as_error
from workers.runtime.messaging.envelope import Envelope, read_body
from workers.runtime.observability import tracing
from workers.runtime.observability.log_events import HANDLER_FAILED, MESSAGE_DEAD_LETTERED, NO_HANDLER
from workers.runtime.processing import failpoints
from workers.runtime.processing.handlers import Handler
from workers.runtime.processing.processor import MessageProcessor, Requeue
from workers.runtime.processing.results import RETRY, ProcessingResult
from workers.runtime.processing.services import Services

log = structlog.get_logger()

BATCH_SIZE = 16
IDLE_INTERVALS = 4
"""How many intervals an idle context waits for what another replica may have left to it."""
BODY_CHARACTERS = 65_536
"""Of a dead letter's body that the journal shows; the inbox row keeps all of it."""

OnProcessed = Callable[[MessageProcessor, ProcessingResult, EntryKind], None]


class InboxScheduler:
    """Runs what is due in one context, and keeps what failed for a retry."""

    def __init__(self, services: Services, handlers: Mapping[str, Handler], on_processed: OnProcessed) -> None:
        self._services = services
        self._handlers = handlers
        self._on_processed = on_processed
        self._idle_until = 0.0
        self._notified = False

    def notify(self) -> None:
        """A message was handled: something may have become due."""
        self._notified = True

    async def run(self) -> None:
        """Run all that is due; then stay idle until something will be, a few intervals at most."""
        if time.monotonic() < self._idle_until and not self._notified:
            return
        self._notified = False
        services = self._services
        lease = timedelta(seconds=services.settings.lease_seconds)
        while True:
            owner = uuid4()
            async with services.database.session() as session:
                if not await self._is_something_due(session):
                    return
                rows = await services.inbox.lease_due(session, owner, lease, BATCH_SIZE)
            await asyncio.gather(*(self._run_row(row, owner) for row in rows))
            if len(rows) < BATCH_SIZE:
                return

    async def _is_something_due(self, session: Session) -> bool:
        """If nothing is, stay idle until something will be."""
        idle, now = IDLE_INTERVALS * self._services.settings.scheduler_seconds, time.monotonic()
        within = await self._services.inbox.next_due(session)
        if within is not None and within <= 0:
            return True
        self._idle_until = now + (idle if within is None else min(idle, within))
        return False

    async def _run_row(self, row: Row, owner: UUID) -> None:
        services = self._services
        if failpoints.hook:
            await failpoints.hook(services.name, "due")
        handler = self._handlers.get(row["topic"])
        if handler is None:
            log.error(NO_HANDLER, context=services.name, topic=row["topic"], message_id=str(row["id"]))
            return
        envelope = _kept(row)
        if tracing.on is not None:
            tracing.receive(tracing.on, envelope, services.name, row["traceparent"])
        processor = MessageProcessor(services, handler, None, envelope, time.monotonic())
        processor.owner = owner
        started = row["state"] == "started"
        try:
            processor.message = read_body(handler.message, envelope.body)
            with foreign_cancellation_as_error():
                result = await processor.run(resume=started)
        except Requeue:
            return
        except Exception as error:
            log.warning(HANDLER_FAILED, context=services.name, topic=envelope.topic, error=repr(error))
            await self.keep(processor, row["state"], repr(error), failures=row["failures"] + 1)
            result = RETRY
        services.outbox.publish_committed(processor.outgoing)
        self._on_processed(processor, result, "timer" if not row["error"] and not started else "retry")

    async def keep(self, processor: MessageProcessor, state: str, error: str, failures: int) -> None:
        """Keep a message that failed `failures` times in a row; after the last delay it is a dead letter."""
        services, envelope = self._services, processor.envelope
        delays = services.settings.retry_seconds
        dead = failures > len(delays)
        after = timedelta() if dead else timedelta(seconds=delays[failures - 1] * random.uniform(0.8, 1.2))
        claim = Claim(
            id=envelope.id,
            topic=envelope.topic,
            digest=envelope.digest,
            owner=processor.owner,
            state="dead" if dead else state,
            body=envelope.body.decode(),
            answer=None,
            refused=False,
            after=after,
            story_id=envelope.story_id,
            causation_id=envelope.causation_id,
            actor=envelope.actor,
            traceparent=envelope.traceparent,
        )
        dead_letter = _dead_letter(services.name, envelope, error, failures) if dead else None
        if await self._write(claim, error, dead_letter) and dead_letter:
            log.error(MESSAGE_DEAD_LETTERED, context=services.name, topic=envelope.topic, message_id=str(envelope.id))
            services.outbox.publish_committed([dead_letter])

    async def _write(self, claim: Claim, error: str, dead_letter: OutboxMessage | None) -> bool:
        """Write the claim, and the dead letter with it; False when another handling owns the message."""
        services = self._services
        while True:
            try:
                async with services.database.transaction() as session:
                    kept = await services.inbox.save_failure(session, claim, error)
                    if kept and dead_letter:
                        await services.inbox.add_messages(session, [dead_letter])
            except (*CONNECTION_ERRORS, CommitInDoubt) as lost:
                services.availability.lost(lost)
                if not await services.availability.wait(services.settings.database_patience_seconds):
                    raise Requeue from lost
            else:
                return kept


def _dead_letter(context: str, envelope: Envelope, error: str, attempts: int) -> OutboxMessage:
    filed = FileDeadLetter(
        context=context,
        message_id=envelope.id,
        message_topic=envelope.topic,
        body=envelope.body.decode()[:BODY_CHARACTERS],
        error=error[:2000],
        attempts=attempts,
        story_id=envelope.story_id,
        causation_id=envelope.causation_id,
        actor=envelope.actor,
    )
    return OutboxMessage(
        uuid4(),
        filed.topic,
        filed.model_dump_json(),
        envelope.story_id,
        envelope.id,
        envelope.actor,
        envelope.traceparent,
    )


def _kept(row: Row) -> Envelope:
    return Envelope(
        id=row["id"],
        topic=row["topic"],
        body=row["body"].encode(),
        story_id=row["story_id"],
        causation_id=row["causation_id"],
        actor=row["actor"],
        digest=row["digest"],
        attempt=row["attempts"],
    )
