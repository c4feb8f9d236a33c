"""The handling of one message: claim, transaction, request, second transaction, reply.

Delivered at least once, effective once. The last statement of a step claims the message and writes what the step sends.
It matches nothing when the inbox row belongs to another handling; then everything is rolled back and the row answers.
A step that requests something is two functions: the first commits a pending state, the second settles it. Between them
the row is `started`; if this process dies there, the scheduler runs the second function with an unknown outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from asyncpg import UniqueViolationError
from pydantic import BaseModel

from contracts.base import Message, Refused
from contracts.outcomes import Outcome
from contracts.refusals import IdempotencyKeyReused
from storage.database import AMBIGUOUS, CONNECTION_ERRORS, TRANSIENT, CommitInDoubt, Row, Session
from storage.inbox import Claim, CompletedStep, OutboxMessage
from workers.runtime.cancellation import foreign_cancellation_as_error
from workers.runtime.messaging.envelope import Envelope, RpcReply, RpcRequest
from workers.runtime.observability.log_events import EXTERNAL_CALL_FAILED
from workers.runtime.processing import failpoints, refusals
from workers.runtime.processing.batcher import ClaimConflict, StepRun
from workers.runtime.processing.handlers import Handler, Step
from workers.runtime.processing.replays import Replay
from workers.runtime.processing.results import NO_REPLY, STILL_RUNNING, UNAVAILABLE, ProcessingResult, answered, refused
from workers.runtime.processing.services import Services
from workers.runtime.processing.tx import (
    ExternalCall,
    NothingCommitted,
    Request,
    Retryable,
    RunAgain,
    Tx,
    decode_answer,
    decode_refusal,
    encode_refusal,
    time_left,
)

log = structlog.get_logger()

RESUME_MARGIN_SECONDS = 1.0
"""After the limit of a request; then the scheduler resumes a `started` step."""
RECHECK_SECONDS, NOT_FOUND_WAIT_SECONDS, STALE_READ_WAIT_SECONDS = 0.1, 0.5, 1.0
TRANSIENT_TRIES = 3


class DeadlineExceeded(Exception):
    """Nobody waits for this request any more, and nothing was committed."""


class HandlerBug(Exception):
    """A handler raised an error of a broken connection while its connection works."""


class Requeue(Exception):
    """The database was unavailable for too long: the message goes back to its queue."""


class MessageProcessor:
    """A message, the handler for it, and a fence: `owner`, a random token."""

    def __init__(
        self, services: Services, handler: Handler, message: Message | None, envelope: Envelope, received: float
    ) -> None:
        self.services = services
        self.handler = handler
        self.message = message
        self.envelope = envelope
        self.received = received
        self.owner = uuid4()
        self.outgoing: list[OutboxMessage] = []
        """Committed and not yet published."""
        self.committed = False
        self.changed: asyncio.Event | None = None
        """Set once there is something that the last read did not see."""
        self.on_wait: Callable[[], Awaitable[bool]] | None = None
        """Asked once before the message waits for something that is not known yet; False: it may not."""
        self.on_started: Callable[[], Awaitable[None]] | None = None
        """Called once a delivery that is lost loses nothing: the scheduler resumes the step, or its caller settles."""
        self.waits = False
        """It has begun to wait, and is counted among its caller's waits."""
        self.replay = Replay(handler, envelope.id)
        self._may_wait: bool | None = None
        self._in_doubt = False

    @property
    def message_id(self) -> UUID:
        return self.envelope.id

    @property
    def may_have_committed(self) -> bool:
        """A caller cannot be told that nothing was begun.

        Something was committed, a COMMIT got no answer, or an outside provider was called.
        """
        return self.committed or self._in_doubt

    async def run(self, *, resume: bool = False) -> ProcessingResult:
        """Handle from the start, or resume with the last function and an unknown outcome."""
        try:
            if resume:
                return await self._settle(Outcome.UNKNOWN)
            return await self._from_the_start()
        except ClaimConflict as conflict:
            return self._stored(conflict.row)
        except NothingCommitted:
            return UNAVAILABLE
        except DeadlineExceeded:
            return NO_REPLY

    async def _from_the_start(self) -> ProcessingResult:
        handler = self.handler
        if not handler.begins_unserved:
            for callee in handler.requests:
                if (refusal := await self._check_callee(callee)) is not None:
                    return refusal
        result = await self._step(handler.first)
        for function in handler.later:
            if not isinstance(result, Request | ExternalCall):
                break
            result = await self._step(function, await self._requested(result))
        return self._result(result)

    async def _requested(self, result: Request | ExternalCall) -> Any:
        """Publish what is committed, make the request and return its outcome."""
        self.services.outbox.publish_committed(self._take_outgoing())
        await self.reach("started")
        if isinstance(result, ExternalCall):
            self._in_doubt = True
        if self.on_started is not None and (self.committed or (self._in_doubt and self.envelope.is_request)):
            await self.on_started()
        outcome = await self._outcome(result)
        await self.reach("outcome_known")
        return outcome

    async def _settle(self, outcome: Any) -> ProcessingResult:
        """Run the last function, which decides what becomes of everything that was begun."""
        return self._result(await self._step(self.handler.later[-1], outcome))

    def _result(self, returned: Any) -> ProcessingResult:
        if isinstance(returned, Request | ExternalCall):
            raise TypeError(f"{self.handler.name} makes a request, but has no function for its outcome")
        if isinstance(returned, RunAgain):
            return self.refused(returned.meanwhile) if returned.meanwhile else STILL_RUNNING
        result = self.refused(returned) if isinstance(returned, Refused) else answered(returned)
        result.replayed = self.replay.found
        return result

    def refused(self, refusal: Refused) -> ProcessingResult:
        """The result of a refusal by the handler."""
        refusals.check(self.services.name, self.handler.message, refusal)
        return refused(refusal)

    async def _check_callee(self, requests: type[Message]) -> ProcessingResult | None:
        """Answer before anything is written when the callee cannot; an earlier answer to this message still holds."""
        queue = f"{requests.topic}@{requests.owner()}"
        if await self.services.rpc.check(requests.owner(), queue) is None:
            return None
        row = await self._look()
        if row is not None:
            raise ClaimConflict(row)
        if self.envelope.is_request:
            return UNAVAILABLE
        raise ConnectionError(f"no consumer of {queue}")

    async def _step(self, function: Step, *outcome: Any) -> Any:
        try:
            return await self._commit(function, *outcome)
        except Refused as refusal:
            if outcome:
                raise TypeError("a second function returns its refusal: raising would undo the outcome") from refusal
            if isinstance(refusal, Retryable) and await self.begin_wait():
                await asyncio.sleep(RECHECK_SECONDS)
                return await self._step(function)
            kept = refusal

            async def keep(_message: Message, _tx: Tx) -> Refused:
                return kept

            return await self._commit(keep)

    async def _commit(self, function: Step, *outcome: Any) -> Any:
        tries = 0
        while True:
            try:
                return await self._run_committed(function, *outcome)
            except (ClaimConflict, Refused):
                raise
            except CommitInDoubt as doubt:
                result = doubt.args[0]
                self._in_doubt = True
                if outcome and _state(result) == "started":  # the row is `started` either way: the scheduler resumes it
                    raise DeadlineExceeded from doubt
                row = await self._look()
                if row is not None and row["owner"] == self.owner and row["state"] == _state(result):
                    self.committed = True
                    return result
                if row is None:
                    self.owner = uuid4()  # that COMMIT may still arrive: then its row is not taken for this one's
            except (*TRANSIENT, TimeoutError):
                tries += 1
                if tries == TRANSIENT_TRIES:
                    raise
            except CONNECTION_ERRORS as error:
                self.services.availability.lost(error)
                await self._wait_for_database()
            except Exception as error:
                # a repeated message may violate a constraint by its own rows: look before calling it a failure
                row = await self._look()
                if row is not None and row["owner"] != self.owner:
                    raise ClaimConflict(row) from None
                if isinstance(error, UniqueViolationError) and self.replay.is_possible(outcome):
                    return await self._commit(self.replay.after(error))
                raise

    async def _run_committed(self, function: Step, *outcome: Any) -> Any:
        """Run a step in a transaction; a first function that only reads has one only if there is something to keep."""
        if not self.handler.read_only or function is not self.handler.first:
            return await self.services.batcher.run(self, function, *outcome)
        async with self.services.database.session() as session:
            read = await self.run_step(session, function)
        if self.keeps_nothing(read.result):
            return read.result

        async def keep(_message: Message, _tx: Tx) -> Any:
            return read.result

        return await self.services.batcher.run(self, keep)

    async def run_step(self, session: Session, function: Step, *outcome: Any) -> StepRun:
        """Run a step within a transaction; its claim is still to be made."""
        tx = Tx(session, self.envelope, self.services, self.received)
        try:
            with foreign_cancellation_as_error():
                result = await function(self.message, *outcome, tx)
        except TimeoutError:
            raise
        except AMBIGUOUS as error:
            if session.is_broken:
                raise
            raise HandlerBug(f"{self.handler.name} raised {error!r}") from error
        if isinstance(result, Refused) and self.replay.is_possible(outcome):
            result = await self.replay.instead_of(result, tx)
        await self.reach("written")
        return StepRun(result, CompletedStep(self._claim(result), tx.outgoing, tx.timers))

    def keeps_nothing(self, result: Any) -> bool:
        """Whether a step leaves no row: it wrote nothing, and its request is read-only."""
        return self.handler.read_only and isinstance(result, Request | ExternalCall)

    def mark_committed(self, run: StepRun) -> Any:
        """Note what may be published now; returns the step's result."""
        if not self.keeps_nothing(run.result):
            self.committed = True
            self.outgoing += run.completed.messages
        return run.result

    def _claim(self, result: Any) -> Claim:
        envelope = self.envelope
        state = _state(result)
        after = None
        if isinstance(result, Request | ExternalCall):
            after = timedelta(seconds=result.within + RESUME_MARGIN_SECONDS)
        elif isinstance(result, RunAgain):
            after = result.after
        answer = None
        if isinstance(result, Refused):
            answer = encode_refusal(result)
        elif isinstance(result, RunAgain) and result.meanwhile:
            answer = encode_refusal(result.meanwhile)
        elif state == "done" and isinstance(result, BaseModel):
            answer = result.model_dump_json()
        return Claim(
            id=envelope.id,
            topic=envelope.topic,
            digest=envelope.digest,
            owner=self.owner,
            state=state,
            body=None if state == "done" else envelope.body.decode(),
            answer=answer,
            refused=isinstance(result, Refused),
            after=after,
            story_id=envelope.story_id,
            causation_id=envelope.causation_id,
            actor=envelope.actor,
            traceparent=envelope.traceparent,
        )

    async def _look(self) -> Row | None:
        """The message's inbox row, however long the database is unavailable."""
        while True:
            try:
                async with self.services.database.session() as session:
                    return await self.services.inbox.find(session, self.envelope.id)
            except CONNECTION_ERRORS as error:
                self.services.availability.lost(error)
                await self._wait_for_database()

    async def _wait_for_database(self) -> None:
        if self.envelope.is_request and not (self.may_have_committed or self.envelope.redelivered):
            raise NothingCommitted
        if not await self.services.availability.wait(self.services.settings.database_patience_seconds):
            raise Requeue
        if self.is_too_late() and not self.may_have_committed:
            raise DeadlineExceeded

    def _stored(self, row: Row) -> ProcessingResult:
        """The answer of another handling of this message."""
        if row["digest"] != self.envelope.digest:
            return refused(IdempotencyKeyReused())
        if row["state"] != "done":
            return refused(decode_refusal(row["answer"])) if row["answer"] else STILL_RUNNING
        body = (row["answer"] or "{}").encode()
        if row["refused"]:
            return ProcessingResult(Outcome.REFUSED, body, replayed=True, code=decode_refusal(body).code)
        return ProcessingResult(Outcome.DONE, body, replayed=True)

    async def _outcome(self, pending: Request | ExternalCall) -> Any:
        """Make the request, with no transaction and no connection held."""
        if isinstance(pending, ExternalCall):
            try:
                async with asyncio.timeout(pending.within):
                    with foreign_cancellation_as_error():
                        return await pending.make()
            except Exception as error:
                log.warning(
                    EXTERNAL_CALL_FAILED, context=self.services.name, topic=self.envelope.topic, error=repr(error)
                )
                return Outcome.UNKNOWN
        reply = await self.services.rpc.call(self._rpc_request(pending), within=self._within(pending.within))
        return _decoded(pending.message, reply)

    def _within(self, limit: float) -> float:
        """The limit of a request on behalf of this message, in seconds: not longer than its own caller waits."""
        if not self.envelope.deadline:
            return limit
        return min(limit, time_left(self.envelope, self.received))

    def _rpc_request(self, pending: Request) -> RpcRequest:
        return RpcRequest(
            topic=pending.message.topic,
            exchange=pending.message.exchange,
            body=pending.message.model_dump_json().encode(),
            message_id=pending.id,
            actor=self.envelope.actor,
            story_id=self.envelope.story_id,
            causation_id=self.envelope.id,
            traceparent=self.envelope.traceparent,
        )

    async def begin_wait(self, within: float = NOT_FOUND_WAIT_SECONDS) -> bool:
        """Whether to wait for what was not found; the first time the delivery slot is given up for it."""
        if not self.may_wait(within):
            return False
        if self._may_wait is None:
            self._may_wait = self.on_wait is None or await self.on_wait()
        return self._may_wait

    def may_wait(self, within: float = NOT_FOUND_WAIT_SECONDS) -> bool:
        """Whether what was not found may still arrive, `within` seconds from the delivery."""
        return time.monotonic() - self.received < within

    def is_too_late(self) -> bool:
        """A request that waited here for longer than it may is not begun."""
        limit = self.envelope.expires_after
        return limit is not None and time.monotonic() - self.received > limit

    def _take_outgoing(self) -> list[OutboxMessage]:
        rows, self.outgoing = self.outgoing, []
        return rows

    async def reach(self, place: str) -> None:
        """A place where a test may kill this process."""
        if failpoints.hook:
            await failpoints.hook(self.services.name, place)


def _decoded(message: Any, reply: RpcReply) -> Any:
    if reply.kind is Outcome.DONE:
        return decode_answer(message, reply.body)
    if reply.kind is Outcome.REFUSED:
        return decode_refusal(reply.body)
    return Outcome.UNAVAILABLE if reply.kind is Outcome.UNAVAILABLE else Outcome.UNKNOWN


def _state(result: Any) -> str:
    if isinstance(result, Request | ExternalCall):
        return "started"
    return "waiting" if isinstance(result, RunAgain) else "done"
