"""What travels beside a body: AMQP properties and headers, as the management console shows them.

They are validated where a message is read, so that what a context stores of them can be stored.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, ExchangeType, Message
from faststream.rabbit import RabbitExchange
from pamqp import encode
from pydantic import ValidationError

from contracts.base import Message as Contract
from contracts.outcomes import REPLIES, Outcome
from workers.runtime.messaging.exchanges import REPLIES as REPLY_EXCHANGE

Header = str | bool | int

LONGEST_TEXT = 300
LONGEST_DEADLINE_SECONDS = 3600.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Unreadable(Exception):
    """A message that no handler can be given; its text is the dead letter's reason."""


@dataclass(slots=True)
class RpcRequest:
    """A message with what travels beside it; the same `message_id` again is the same request."""

    topic: str
    exchange: str
    body: bytes
    message_id: UUID
    actor: str
    story_id: UUID
    causation_id: UUID | None = None
    digest: str = ""
    traceparent: str | None = None

    @property
    def callee(self) -> str:
        """The context that replies."""
        return self.topic.rpartition(".")[0]

    @property
    def queue(self) -> str:
        return f"{self.topic}@{self.callee}"


@dataclass(slots=True)
class RpcReply:
    """How a request ended."""

    kind: Outcome
    body: bytes = b""
    """done: the reply's JSON; refused: `{"code": ...}` and details."""
    replayed: bool = False
    """The stored answer of an earlier try with the same message id."""
    retry_after: int | None = None
    """Whole seconds, with `unavailable`."""


@dataclass(slots=True)
class Envelope:
    """One message with where it came from and how long it may take."""

    id: UUID
    topic: str
    body: bytes
    story_id: UUID
    causation_id: UUID | None
    actor: str
    digest: str = ""
    deadline: float = 0.0
    """Seconds from the delivery until the caller gives up; 0: no request."""
    expires_after: float | None = None
    """Seconds from the delivery after which a request must not be started any more."""
    reply_to: str = ""
    correlation_id: str = ""
    redelivered: bool = False
    attempt: int = 1
    traceparent: str = ""
    """Of the handling's own span, for what it sends. Empty when nothing is traced."""
    span: Any = None

    @property
    def is_request(self) -> bool:
        return bool(self.reply_to)


# -- reading


def read(raw: Any, topic: str) -> Envelope:
    """The envelope of a delivery from a queue of `topic`; raises Unreadable."""
    if problem := getattr(raw, "unreadable", ""):
        raise Unreadable(problem)
    if not raw.message_id:
        raise Unreadable("the message has no message_id")
    message_id = _uuid(raw.message_id, "message_id")
    if raw.type and raw.type != topic:
        raise Unreadable(f"a message of type {raw.type!r} in a queue of {topic}")
    headers = raw.headers
    return Envelope(
        id=message_id,
        topic=topic,
        body=raw.body,
        story_id=_uuid(headers["story_id"], "story_id") if headers.get("story_id") else message_id,
        causation_id=_uuid(headers["causation_id"], "causation_id") if headers.get("causation_id") else None,
        actor=_text(headers.get("actor") or raw.app_id or "unknown", "actor"),
        digest=_text(headers.get("request_digest") or "", "request_digest"),
        deadline=_seconds(headers.get("deadline_ms"), 1000.0, "deadline_ms"),
        expires_after=_seconds(raw.expiration, 1.0, "expiration") if raw.expiration is not None else None,
        reply_to=_text(raw.reply_to or "", "reply_to"),
        correlation_id=_text(raw.correlation_id or "", "correlation_id"),
        redelivered=bool(raw.redelivered),
    )


def traceparent_of(raw: Any) -> str:
    """The trace that a delivery belongs to; empty for none, and for one that is no W3C traceparent."""
    found = raw.headers.get("traceparent")
    return found if isinstance(found, str) and _TRACEPARENT.fullmatch(found) else ""


def read_body(message: type[Contract], body: bytes) -> Contract:
    """A body by its contract; raises Unreadable with the fields that do not fit, never with their values."""
    try:
        return message.model_validate_json(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)[:5]
        )
        raise Unreadable(f"not a {message.topic}: {problems}") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not a {message.topic}: {type(error).__name__}") from None


def read_reply(raw: Any) -> RpcReply:
    """A reply; one without a known outcome is *unknown*."""
    headers = raw.headers or {}
    told = raw.type if raw.type in REPLIES else headers.get("outcome")
    kind = Outcome(told) if told in REPLIES else Outcome.UNKNOWN
    return RpcReply(kind, raw.body, bool(headers.get("replayed")), 1 if kind is Outcome.UNAVAILABLE else None)


# -- writing


@cache
def exchange(name: str) -> RabbitExchange:
    """An exchange of the topology, which `yeyak topology apply` declares."""
    kind = ExchangeType.DIRECT if name == REPLY_EXCHANGE else ExchangeType.TOPIC
    return RabbitExchange(name, type=kind, durable=True, declare=False)  # type: ignore[arg-type]


def headers_of(story_id: UUID, cause: UUID | None, actor: str, traceparent: str | None = None) -> dict[str, Any]:
    """The headers of every message: the story that it belongs to, what caused it, and who."""
    headers: dict[str, Any] = {"story_id": str(story_id), "actor": actor}
    if cause is not None:
        headers["causation_id"] = str(cause)
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


def durable_headers(story_id: UUID, cause: UUID | None, actor: str, traceparent: str | None = None) -> dict[str, Any]:
    """The headers of a durable message; `at_ms` is its time, which AMQP's timestamp rounds to seconds."""
    headers = headers_of(story_id, cause, actor, traceparent)
    headers["at_ms"] = int(datetime.now(UTC).timestamp() * 1000)
    return headers


def request_headers(request: RpcRequest, deadline: float) -> dict[str, Any]:
    """The headers of a request whose caller gives up in `deadline` seconds."""
    headers = headers_of(request.story_id, request.causation_id, request.actor, request.traceparent)
    headers["deadline_ms"] = max(1, int(deadline * 1000))
    if request.digest:
        headers["request_digest"] = request.digest
    return headers


def dead_letter_copy(raw: Any, queue: str, reason: str) -> Message:
    """A copy for the dead-letter exchange, with the reason, its queue and its id (the client invents one for none)."""
    found: dict[str, Any] = {"x-reason": reason[:1000], "x-queue": queue, "x-message-id": raw.message_id or ""}
    return Message(
        raw.body,
        message_id=raw.message_id,
        type=raw.type,
        app_id=raw.app_id,
        content_type=raw.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers=_encodable(raw.headers, found),
    )


def _encodable(headers: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The headers of a message with ours; without its own when they cannot be written again."""
    both = {**headers, **found} if isinstance(headers, dict) else found
    try:
        encode.field_table(both)
    except Exception:  # whatever a peer sent
        return found | {"x-headers": "could not be copied"}
    return both


def _uuid(value: Any, name: str) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise Unreadable(f"{name} is not a UUID") from None


def _text(value: Any, name: str) -> str:
    text = value if isinstance(value, str) else str(value)
    if len(text) > LONGEST_TEXT:
        raise Unreadable(f"{name} has {len(text)} characters, more than {LONGEST_TEXT}")
    if not text.isprintable() and _CONTROL.search(text):
        raise Unreadable(f"{name} has control characters")
    return text


def _seconds(value: Any, per_second: float, name: str) -> float:
    try:
        seconds = float(value or 0) / per_second
    except (TypeError, ValueError):
        raise Unreadable(f"{name} is not a number") from None
    if not math.isfinite(seconds) or seconds < 0:
        raise Unreadable(f"{name} is not a time")
    return min(seconds, LONGEST_DEADLINE_SECONDS)
