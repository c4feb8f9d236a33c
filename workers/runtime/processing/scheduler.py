"""What is due: retries, timers, and steps whose process died between their two functions.

All are inbox rows with `due_at`; no broker is involved. A row is leased to one handling at a time.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from contracts.journal import EntryKind, FileDeadLetter
from storage.database import CONNECTION_ERRORS, CommitInDoubt, Row, Session
from storage.inbox import Claim, OutboxMessage
from workers.runtime.messaging.envelope import Envelope, read_body
from workers.runtime.observability import tracing
from workers.runtime.processing import failpoints
from workers.runtime.processing.processor import MessageProcessor, ProcessingResult, Requeue

if TYPE_CHECKING:
    from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

AT_ONCE = 16
RESTING_TICKS = 4
"""How many ticks a context without work waits for what another replica may have left to it."""
LETTER_CHARACTERS = 65_536
"""Of a dead letter's body that the journal shows; the inbox row keeps all of it."""


class InboxScheduler:
    """The one loop of a context that runs what is due, and the place where failures are kept for it."""

    def __init__(self, context: WorkerRuntime) -> None:
        self._context = context
        self._rests_until = 0.0
        self._stirred = False

    def stir(self) -> None:
        """Something was done: something may be due."""
        self._stirred = True

    async def run(self) -> None:
        """Take up what is due, until nothing is; then rest until something will be, a few ticks at most."""
        context = self._context
        if time.monotonic() < self._rests_until and not self._stirred:
            return
        self._stirred = False
        lease = timedelta(seconds=context.settings.lease_seconds)
        while True:
            owner = uuid4()
            async with context.database.session() as session:
                if not await self._is_something_due(session):
                    return
                rows = await context.inbox.lease_due(session, owner, lease, AT_ONCE)
            await asyncio.gather(*(self._take_up(row, owner) for row in rows))
            if len(rows) < AT_ONCE:
                return

    async def _is_something_due(self, session: Session) -> bool:
        """If not, rest until something will be."""
        resting, soon = RESTING_TICKS * self._context.settings.tick_seconds, time.monotonic()
        within = await self._context.inbox.next_due(session)
        if within is not None and within <= 0:
            return True
        self._rests_until = soon + (resting if within is None else min(resting, within))
        return False

    async def _take_up(self, row: Row, owner: UUID) -> None:
        context = self._context
        if failpoints.hook:
            await failpoints.hook(context.name, "due")
        handler = context.worker.handlers.get(row["topic"])
        if handler is None:
            log.error("nobody handles what is due", context=context.name, topic=row["topic"], id=str(row["id"]))
            return
        envelope = _kept(row)
        if tracing.on is not None:
            tracing.arrive(tracing.on, envelope, context.name, row["traceparent"])
        handling = MessageProcessor(context, handler, None, envelope, time.monotonic())
        handling.owner = owner
        started = row["state"] == "started"
        try:
            handling.message = read_body(handler.message, envelope.body)
            verdict = await handling.run(resume=started)
        except Requeue:
            return
        except Exception as error:
            log.warning("a due step failed", context=context.name, topic=envelope.topic, error=repr(error))
            await self.keep(handling, row["state"], repr(error), failures=row["failures"] + 1)
            verdict = ProcessingResult(None, code="retry")
        context.outbox.publish_committed(handling.told)
        kind: EntryKind = "timer" if not row["error"] and not started else "retry"
        context.note(handling, verdict, kind)

    async def keep(self, handling: MessageProcessor, state: str, error: str, failures: int) -> None:
        """Keep a message that failed `failures` times in a row; after the last delay it is a dead letter."""
        context, envelope = self._context, handling.envelope
        delays = context.settings.retry_seconds
        dead = failures > len(delays)
        after = timedelta() if dead else timedelta(seconds=delays[failures - 1] * random.uniform(0.8, 1.2))
        claim = Claim(
            id=envelope.id,
            topic=envelope.topic,
            digest=envelope.digest,
            owner=handling.owner,
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
        letter = _dead_letter(context.name, envelope, error, failures) if dead else None
        if await self._write(claim, error, letter) and letter:
            context.outbox.publish_committed([letter])

    async def _write(self, claim: Claim, error: str, letter: OutboxMessage | None) -> bool:
        """Keep the claim, and file the letter with it; False when another handling has the message."""
        context = self._context
        while True:
            try:
                async with context.database.transaction() as session:
                    kept = await context.inbox.save_failure(session, claim, error)
                    if kept and letter:
                        await context.inbox.add_message(session, letter)
            except (*CONNECTION_ERRORS, CommitInDoubt) as away:
                context.availability.lost(away)
                if not await context.availability.wait(context.settings.database_patience_seconds):
                    raise Requeue from away
            else:
                return kept


def _dead_letter(context: str, envelope: Envelope, error: str, attempts: int) -> OutboxMessage:
    letter = FileDeadLetter(
        context=context,
        message_id=envelope.id,
        message_topic=envelope.topic,
        body=envelope.body.decode()[:LETTER_CHARACTERS],
        error=error[:2000],
        attempts=attempts,
        story_id=envelope.story_id,
        causation_id=envelope.causation_id,
        actor=envelope.actor,
    )
    return OutboxMessage(
        uuid4(),
        letter.topic,
        letter.model_dump_json(),
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
