"""What a handler is given, and what it may return."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4, uuid5

from contracts.base import Command, Event, Message, Query, Refused
from contracts.outcomes import NoReply
from contracts.refusals import NotFound, StaleVersion
from storage.database import Session
from storage.inbox import Inbox, OutboxMessage, Timer
from workers.runtime.messaging.envelope import Envelope
from workers.runtime.settings import Settings

__all__ = [
    "ExternalCall",
    "NoReply",
    "NothingCommitted",
    "Request",
    "Retryable",
    "RetryableNotFound",
    "RunAgain",
    "StaleRead",
    "Tx",
    "decode_answer",
    "decode_refusal",
    "encode_refusal",
    "unchanged",
]

Resource = TypeVar("Resource")
SystemSettings = TypeVar("SystemSettings", bound=Settings)
REPLY_MARGIN, LONGEST_REPLY_MARGIN = 0.05, 0.1
"""What a responder leaves of its caller's time for the way back: a share, and at most so many seconds."""


class Retryable(Refused):
    """A refusal once half a second has passed: an event that changes the decision may still be on its way."""

    def __init__(self, refusal: Refused) -> None:
        Exception.__init__(self, refusal.code)
        self._fill(refusal.code, refusal.details)


class RetryableNotFound(Retryable):
    """Not found: the event that makes the thing known may still be on its way."""

    def __init__(self) -> None:
        super().__init__(NotFound())


def unchanged(current: Versioned | None) -> Refused:
    """The refusal of a change that matched nothing: there is no such thing, or it has another version than expected."""
    return RetryableNotFound() if current is None else StaleVersion(version=current.version)


class StaleRead(Exception):
    """A view has not applied the wanted version: read again for a second, then answer with what is there."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


class NothingCommitted(Exception):
    """Nothing was committed and nothing is kept: the caller gets *unavailable* and may repeat the same id.

    A second function raises it when the request was read-only (`read_only=True`) and no reply came.
    """


@dataclass(frozen=True, slots=True)
class Request:
    """Returned by a first function: send this to another context, then run the second function with the outcome."""

    message: Command[Any] | Query[Any]
    id: UUID
    within: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class ExternalCall:
    """Returned by a first function: await `make()` with no transaction open, then run the second function."""

    make: Callable[[], Awaitable[Any]]
    within: float
    """Seconds, after which the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class RunAgain:
    """Returned by a second function: not finished, start this step again."""

    after: timedelta
    meanwhile: Refused | None = None
    """The reply to callers until then; without it, that the request is still running. It is not kept."""


class Versioned(Protocol):
    """What is changed by `expected_version`."""

    @property
    def version(self) -> int: ...


class StepServices(Protocol):
    """What a transaction takes from the running context."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def inbox(self) -> Inbox: ...

    def resource(self, kind: type[Resource]) -> Resource: ...


class Tx(Session):
    """One step's transaction: where it may write, and what it may send. The runtime commits."""

    __slots__ = ("_services", "envelope", "outgoing", "started", "timers")

    def __init__(self, session: Session, envelope: Envelope, services: StepServices, started: float) -> None:
        super().__init__(session.connection)
        self.envelope = envelope
        self.started = started
        self.outgoing: list[OutboxMessage] = []
        self.timers: list[Timer] = []
        self._services = services

    @property
    def id(self) -> UUID:
        """The message's id, which the entity that it creates takes as its own."""
        return self.envelope.id

    @property
    def context(self) -> str:
        """The name of the context that handles the message."""
        return self._services.name

    def settings(self, kind: type[SystemSettings]) -> SystemSettings:
        """The settings of a system; raises TypeError in a process that has not read them."""
        settings = self._services.settings
        if not isinstance(settings, kind):
            raise TypeError(f"{self.context} runs without {kind.__name__}")
        return settings

    @property
    def attempt(self) -> int:
        """1 for the first handling; grows with each that failed or is to run again."""
        return self.envelope.attempt

    def derive_id(self, name: str) -> UUID:
        """The id of something requested on behalf of this message: the same at each handling."""
        return uuid5(self.envelope.id, name)

    @property
    def inbox(self) -> Inbox:
        return self._services.inbox

    def resource(self, kind: type[Resource]) -> Resource:
        """What the worker's `@worker.resource` of this type opened."""
        return self._services.resource(kind)

    def time_left(self) -> float:
        """Seconds until the caller gives up; 0 when nobody waits."""
        return time_left(self.envelope, self.started)

    def backoff(self, first: float, most: float) -> timedelta:
        """A delay that doubles with each attempt, in seconds up to `most`."""
        return timedelta(seconds=min(most, first * 2 ** min(self.attempt - 1, 30)))

    def publish(self, message: Event | Command[None], *, id: UUID | None = None, story: UUID | None = None) -> None:
        """Send a durable message once this transaction has committed. Raises TypeError for a request."""
        if message.delivery() != "durable":
            raise TypeError(f"{message.topic} is a request: return tx.request(...) instead")
        envelope = self.envelope
        self.outgoing.append(
            OutboxMessage(
                id or uuid4(),
                message.topic,
                message.model_dump_json(),
                story or envelope.story_id,
                envelope.id,
                envelope.actor,
                envelope.traceparent,
            )
        )

    def schedule(
        self, message: Command[None], *, after: timedelta = timedelta(), at: datetime | None = None, name: str = ""
    ) -> None:
        """Handle a command of this context after a delay or at an instant, by the database's clock; one per name."""
        if message.owner() != self._services.name:
            raise TypeError(f"{message.topic} is not for {self._services.name}")
        timer_id = uuid5(self.envelope.id, f"timer:{name or message.topic}")
        self.timers.append(Timer(timer_id, message.topic, message.model_dump_json(), after, at))

    def request(self, message: Command[Any] | Query[Any], *, within: float, id: UUID | None = None) -> Request:
        """A request to send once this transaction has committed; return it. `within` in seconds."""
        return Request(message, id or self.derive_id(message.topic), within)


def time_left(envelope: Envelope, started: float) -> float:
    """Seconds until the caller of a message received at `started` (monotonic) must have its reply; 0: nobody waits."""
    if not envelope.deadline:
        return 0.0
    margin = min(LONGEST_REPLY_MARGIN, envelope.deadline * REPLY_MARGIN)
    return max(0.0, envelope.deadline - margin - (time.monotonic() - started))


def encode_refusal(refusal: Refused) -> str:
    """A refusal as JSON, for the wire and for the inbox."""
    return json.dumps({"code": refusal.code, **refusal.details}, default=str)


def decode_refusal(body: bytes | str) -> Refused:
    """The refusal that `encode_refusal` wrote."""
    details = json.loads(body or b"{}")
    return Refused.of(details.pop("code", "refused"), details)


def decode_answer(message: Message, body: bytes) -> Any:
    """The reply to `message`, in the shape that its contract names."""
    return type(message).answer.model_validate_json(body)
