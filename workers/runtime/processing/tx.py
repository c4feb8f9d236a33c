"""What a handler is given, and what it may return."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4, uuid5

from contracts.base import Command, Event, Message, Query, Refused
from storage.database import Session
from storage.inbox import Inbox, OutboxMessage, Timer

if TYPE_CHECKING:
    from workers.runtime.messaging.envelope import Envelope
    from workers.runtime.processing.worker_runtime import WorkerRuntime

Resource = TypeVar("Resource")


class NoReply(Enum):
    """What a second function is given when nobody answered."""

    UNAVAILABLE = "unavailable"
    """The ask was certainly not begun."""
    UNKNOWN = "unknown"
    """Whatever may have happened must be undone or found out."""


class RetryableNotFound(Refused):
    """A refusal once half a second has passed: what was said elsewhere may still be on its way."""

    def __init__(self, code: str = "not_found", **details: Any) -> None:
        super().__init__(code, **details)


class StaleRead(Exception):
    """A view has not seen what was asked for: look again for a second, then answer with what there is."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


class NothingCommitted(Exception):
    """Nothing was committed, and nothing is kept: an rpc is told *unavailable*, and may ask again under the same id.

    A second function raises it when the ask was only a look (`read_only=True`) and nobody answered.
    """


@dataclass(frozen=True, slots=True)
class Request:
    """A first function's wish: ask another context, then run the second function with the outcome."""

    message: Command[Any] | Query[Any]
    id: UUID
    within: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class ExternalCall:
    """A first function's wish: await `make()` with no transaction open, then run the second function."""

    make: Callable[[], Awaitable[Any]]
    within: float
    """Seconds, after which the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class RunAgain:
    """A second function's verdict: not over yet, start this step again."""

    after: timedelta
    meanwhile: Refused | None = None
    """What whoever asks is told until then; without it, that the request is still running. It is not kept."""


class Tx(Session):
    """One step's transaction: where it may write, and what it may say. The runtime commits."""

    __slots__ = ("_context", "envelope", "started", "timers", "told")

    def __init__(self, session: Session, envelope: Envelope, context: WorkerRuntime, started: float) -> None:
        super().__init__(session.connection)
        self.envelope = envelope
        self.started = started
        self.told: list[OutboxMessage] = []
        self.timers: list[Timer] = []
        self._context = context

    @property
    def id(self) -> UUID:
        """The message's id, which the entity that it creates takes as its own."""
        return self.envelope.id

    @property
    def settings(self) -> Any:
        return self._context.settings

    @property
    def attempt(self) -> int:
        """1 for the first handling; grows with each that came to nothing."""
        return self.envelope.attempt

    def derive_id(self, name: str) -> UUID:
        """The id of something asked for on behalf of this message: the same at each handling."""
        return uuid5(self.envelope.id, name)

    @property
    def inbox(self) -> Inbox:
        return self._context.inbox

    def resource(self, kind: type[Resource]) -> Resource:
        """What the worker's `@worker.resource` of this type opened."""
        return self._context.resource(kind)

    def time_left(self) -> float:
        """Seconds that may still be spent before the rpc gives up; 0 when nobody waits."""
        if not self.envelope.budget:
            return 0.0
        return max(0.0, self.envelope.budget - (time.monotonic() - self.started))

    def backoff(self, first: float, most: float) -> timedelta:
        """A delay that doubles with each attempt, in seconds up to `most`."""
        return timedelta(seconds=min(most, first * 2 ** min(self.attempt - 1, 30)))

    def publish(self, message: Event | Command[None], *, id: UUID | None = None, story: UUID | None = None) -> None:
        """Say it after this transaction has committed, for as long as it takes."""
        if message.delivery() != "durable":
            raise TypeError(f"{message.topic} is asked, not told")
        body = message.model_dump_json()
        envelope = self.envelope
        self.told.append(
            OutboxMessage(
                id or uuid4(),
                message.topic,
                body,
                story or envelope.story_id,
                envelope.id,
                envelope.actor,
                envelope.traceparent,
            )
        )

    def schedule(
        self, message: Command[None], *, after: timedelta = timedelta(), at: datetime | None = None, name: str = ""
    ) -> None:
        """Tell oneself after a delay, or at a business instant, by the database's clock; one timer per name."""
        if message.owner() != self._context.name:
            raise TypeError(f"{message.topic} is not for {self._context.name}")
        timer_id = uuid5(self.envelope.id, f"timer:{name or message.topic}")
        self.timers.append(Timer(timer_id, message.topic, message.model_dump_json(), after, at))

    def request(self, message: Command[Any] | Query[Any], *, within: float, id: UUID | None = None) -> Request:
        """Request after this transaction has committed; return it from the first function. `within` in seconds."""
        return Request(message, id or self.derive_id(message.topic), within)


def encode_refusal(refusal: Refused) -> str:
    """A refusal as it travels and is kept."""
    return json.dumps({"code": refusal.code, **refusal.details}, default=str)


def decode_refusal(body: bytes | str) -> Refused:
    details = json.loads(body or b"{}")
    return Refused(details.pop("code", "refused"), **details)


def decode_answer(message: Message, body: bytes) -> Any:
    """The answer to `message`, in the shape that its contract promises."""
    return type(message).answer.model_validate_json(body)
