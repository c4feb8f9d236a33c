"""One handling of one message: claim, transaction, ask, second transaction, answer.

At least once, effect once. The step's last statement claims the message and posts what it says; it matches nothing
when the row belongs to another handling, and then everything rolls back and the row answers. A step that asks is two
functions: the first commits a pending state, the second settles it. Between them the row is `started`; if this
process dies there, the context's loop runs the second function with an unknown outcome.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from pydantic import BaseModel

from contracts.base import Message, Refused
from storage.database import AMBIGUOUS, CONNECTION_ERRORS, TRANSIENT, CommitInDoubt, Row, Session
from storage.inbox import Claim, CompletedStep, OutboxMessage
from workers.runtime.messaging.envelope import Envelope
from workers.runtime.messaging.rpc import RpcReply, RpcRequest
from workers.runtime.processing import failpoints
from workers.runtime.processing.tx import (
    ExternalCall,
    NoReply,
    NothingCommitted,
    Request,
    RetryableNotFound,
    RunAgain,
    Tx,
    decode_answer,
    decode_refusal,
    encode_refusal,
)
from workers.runtime.worker import Handler

if TYPE_CHECKING:
    from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

MARGIN = 1.0
"""Seconds beyond an ask's limit after which a `started` step is taken up by the loop."""
LOOK_AGAIN_SECONDS, LOOK_AGAIN_FOR_SECONDS, BEHIND_FOR_SECONDS = 0.1, 0.5, 1.0
TRIES = 3


class ClaimConflict(Exception):
    """The inbox row belongs to another handling."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row


class DeadlineExceeded(Exception):
    """Nobody waits for this ask any more, and nothing was begun."""


class HandlerBug(Exception):
    """A handler raised what a broken connection raises, and its connection is well."""


class Requeue(Exception):
    """The database was away for too long: the message goes back to its queue."""


@dataclass(slots=True)
class ProcessingResult:
    """How a handling ended; `kind` is None for silence."""

    kind: str | None
    body: bytes = b""
    replayed: bool = False
    code: str | None = None

    @property
    def outcome(self) -> str:
        return self.code or self.kind or "silence"


Step = Callable[..., Awaitable[Any]]
"""A handler's first or second function."""


@dataclass(slots=True)
class Attempt:
    """A step that has run and is not claimed yet."""

    result: Any
    finished: CompletedStep


SILENCE = ProcessingResult(None)
UNAVAILABLE = ProcessingResult("unavailable")
STILL_RUNNING = ProcessingResult("still_running")


def refused(refusal: Refused) -> ProcessingResult:
    return ProcessingResult("refused", encode_refusal(refusal).encode(), code=refusal.code)


class MessageProcessor:
    """A message, the handler for it, and a fence: `owner`, a random token."""

    def __init__(
        self, context: WorkerRuntime, handler: Handler, message: Message | None, envelope: Envelope, received: float
    ) -> None:
        self.context = context
        self.handler = handler
        self.message = message
        self.envelope = envelope
        self.received = received
        self.owner = uuid4()
        self.told: list[OutboxMessage] = []
        """Committed and not yet said."""
        self.committed = False
        self.news: asyncio.Event | None = None
        """Set once there is something that the look did not see."""
        self._in_doubt = False

    @property
    def may_have_begun(self) -> bool:
        """Something was committed, or a COMMIT got no answer: an rpc cannot be told that nothing was begun."""
        return self.committed or self._in_doubt

    async def run(self, *, resume: bool = False) -> ProcessingResult:
        """Handle from the start, or from the second function with an unknown outcome."""
        try:
            if resume:
                return await self._settle(NoReply.UNKNOWN)
            return await self._from_the_start()
        except ClaimConflict as taken:
            return self._stored(taken.row)
        except NothingCommitted:
            return UNAVAILABLE
        except DeadlineExceeded:
            return SILENCE

    async def _from_the_start(self) -> ProcessingResult:
        handler = self.handler
        if handler.requests is not None and (refusal := await self._shut_door(handler.requests)):
            return refusal
        result = await self._step(handler.first)
        if not isinstance(result, Request | ExternalCall):
            return _verdict(result)
        self.context.outbox.publish_committed(self._take_told())
        await self.reach("started")
        outcome = await self._outcome(result)
        await self.reach("heard")
        return await self._settle(outcome)

    async def _settle(self, outcome: Any) -> ProcessingResult:
        if self.handler.second is None:
            raise TypeError(f"{self.handler.name} asks, but has no second function")
        return _verdict(await self._step(self.handler.second, outcome))

    async def _shut_door(self, asks: type[Message]) -> ProcessingResult | None:
        """A shut door is seen before anything is written; an earlier answer to this message still holds."""
        queue = f"{asks.topic}@{asks.owner()}"
        if await self.context.rpc.shut(asks.owner(), queue) is None:
            return None
        row = await self._look()
        if row is not None:
            raise ClaimConflict(row)
        if self.envelope.asked:
            return UNAVAILABLE
        raise ConnectionError(f"nobody is behind {queue}")

    async def _step(self, function: Step, *outcome: Any) -> Any:
        try:
            return await self._commit(function, *outcome)
        except Refused as refusal:
            if outcome:
                raise TypeError("a second function returns its refusal: raising would undo the outcome") from refusal
            if isinstance(refusal, RetryableNotFound) and self.may_look_again():
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                return await self._step(function)
            kept = refusal

            async def keep(_message: Message, _tx: Tx) -> Refused:
                return kept

            return await self._commit(keep)

    async def _commit(self, function: Step, *outcome: Any) -> Any:
        tries = 0
        while True:
            try:
                return await self.context.batcher.run(self, function, *outcome)
            except (ClaimConflict, Refused):
                raise
            except CommitInDoubt as doubt:
                result = doubt.args[0]
                self._in_doubt = True
                row = await self._look()
                if row is not None and row["owner"] == self.owner and row["state"] == _state(result):
                    self.committed = True
                    return result
                if row is None:
                    self.owner = uuid4()  # that COMMIT may still land: then its row answers, and is not taken for ours
            except (*TRANSIENT, TimeoutError):
                tries += 1
                if tries == TRIES:
                    raise
            except CONNECTION_ERRORS as error:
                self.context.availability.lost(error)
                await self._wait_at_gate()
            except Exception:
                # a repeated message may trip over its own rows: look before calling it a failure
                row = await self._look()
                if row is not None and row["owner"] != self.owner:
                    raise ClaimConflict(row) from None
                raise

    async def attempt(self, session: Session, function: Step, *outcome: Any) -> Attempt:
        """Run a step within a transaction; its claim is still to be made."""
        tx = Tx(session, self.envelope, self.context, self.received)
        try:
            result = await function(self.message, *outcome, tx)
        except TimeoutError:
            raise
        except AMBIGUOUS as error:
            if session.is_broken:
                raise
            raise HandlerBug(f"{self.handler.name} raised {error!r}") from error
        await self.reach("written")
        return Attempt(result, CompletedStep(self._claim(result), tx.told, tx.timers))

    def only_looks(self, result: Any) -> bool:
        """Whether nothing is to be kept of a step: it wrote nothing, and asks for a look."""
        return self.handler.read_only and isinstance(result, Request | ExternalCall)

    def has_committed(self, attempt: Attempt) -> Any:
        """Note what may be said now; returns the step's result."""
        if not self.only_looks(attempt.result):
            self.committed = True
            self.told += attempt.finished.messages
        return attempt.result

    def _claim(self, result: Any) -> Claim:
        envelope = self.envelope
        state = _state(result)
        after = None
        if isinstance(result, Request | ExternalCall):
            after = timedelta(seconds=result.within + MARGIN)
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
        """The message's row, however long the database is away."""
        while True:
            try:
                async with self.context.database.session() as session:
                    return await self.context.inbox.find(session, self.envelope.id)
            except CONNECTION_ERRORS as error:
                self.context.availability.lost(error)
                await self._wait_at_gate()

    async def _wait_at_gate(self) -> None:
        if self.envelope.asked and not (self.may_have_begun or self.envelope.redelivered):
            raise NothingCommitted
        if not await self.context.availability.wait(self.context.settings.database_patience_seconds):
            raise Requeue
        if self.is_too_late() and not self.may_have_begun:
            raise DeadlineExceeded

    def _stored(self, row: Row) -> ProcessingResult:
        """What another handling of this message has to say."""
        if row["digest"] != self.envelope.digest:
            return refused(Refused("idempotency_key_reused"))
        if row["state"] != "done":
            return refused(decode_refusal(row["answer"])) if row["answer"] else STILL_RUNNING
        body = (row["answer"] or "{}").encode()
        if row["refused"]:
            return ProcessingResult("refused", body, replayed=True, code=decode_refusal(body).code)
        return ProcessingResult("done", body, replayed=True)

    async def _outcome(self, wish: Request | ExternalCall) -> Any:
        """Request, with no transaction and no connection held."""
        if isinstance(wish, ExternalCall):
            try:
                async with asyncio.timeout(wish.within):
                    return await wish.make()
            except Exception as error:
                log.warning("no outcome", context=self.context.name, topic=self.envelope.topic, error=repr(error))
                return NoReply.UNKNOWN
        reply = await self.context.rpc.call(self._request(wish), within=wish.within, budget=budget_of(wish.within))
        return _heard(wish.message, reply)

    def _request(self, ask: Request) -> RpcRequest:
        return RpcRequest(
            topic=ask.message.topic,
            exchange=ask.message.exchange,
            body=ask.message.model_dump_json().encode(),
            message_id=ask.id,
            actor=self.envelope.actor,
            story_id=self.envelope.story_id,
            causation_id=self.envelope.id,
            traceparent=self.envelope.traceparent,
        )

    def may_look_again(self, within: float = LOOK_AGAIN_FOR_SECONDS) -> bool:
        """What is not known yet may still be on its way."""
        return time.monotonic() - self.received < within

    def is_too_late(self) -> bool:
        """An ask that waited here for longer than it may is not begun."""
        limit = self.envelope.expires_after
        return limit is not None and time.monotonic() - self.received > limit

    def _take_told(self) -> list[OutboxMessage]:
        rows, self.told = self.told, []
        return rows

    async def reach(self, place: str) -> None:
        """A place where a test may kill this process."""
        if failpoints.hook:
            await failpoints.hook(self.context.name, place)


def budget_of(within: float) -> float:
    """What a responder may spend, in seconds, of a wait of `within`: the rest is for the way there and back."""
    return within * 0.8


def _heard(message: Any, reply: RpcReply) -> Any:
    if reply.kind == "done":
        return decode_answer(message, reply.body)
    if reply.kind == "refused":
        return decode_refusal(reply.body)
    return NoReply.UNAVAILABLE if reply.kind == "unavailable" else NoReply.UNKNOWN


def _state(result: Any) -> str:
    if isinstance(result, Request | ExternalCall):
        return "started"
    return "waiting" if isinstance(result, RunAgain) else "done"


def answered(answer: Any) -> ProcessingResult:
    return ProcessingResult("done", answer.model_dump_json().encode() if isinstance(answer, BaseModel) else b"{}")


def _verdict(result: Any) -> ProcessingResult:
    if isinstance(result, Refused):
        return refused(result)
    if isinstance(result, RunAgain):
        return refused(result.meanwhile) if result.meanwhile else STILL_RUNNING
    return answered(result)
