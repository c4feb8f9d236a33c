"""What travels beside a body: AMQP properties and headers, as the management console shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage
from pydantic import ValidationError

from contracts.base import Message as Contract
from workers.runtime.messaging.accelerator.codec import Header, Publishing


class Unreadable(Exception):
    """A message that no handler can be given; its text is the dead letter's reason."""


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
    budget: float = 0.0
    """Seconds that the responder may spend; 0: no request."""
    expires_after: float | None = None
    """Seconds from delivery after which a request must not be started any more."""
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


def read(raw: AbstractIncomingMessage, topic: str) -> Envelope:
    """The envelope of a delivery from a queue of `topic`; raises Unreadable."""
    if not raw.message_id:
        raise Unreadable("the message has no message_id")
    message_id = _uuid(raw.message_id, "message_id")
    if raw.type and raw.type != topic:
        raise Unreadable(f"a message of type {raw.type!r} in a queue of {topic}")
    headers = raw.headers
    expiration = raw.expiration
    return Envelope(
        id=message_id,
        topic=topic,
        body=raw.body,
        story_id=_uuid(headers["story_id"], "story_id") if headers.get("story_id") else message_id,
        causation_id=_uuid(headers["causation_id"], "causation_id") if headers.get("causation_id") else None,
        actor=str(headers.get("actor") or raw.app_id or "unknown"),
        digest=str(headers.get("request_digest") or ""),
        budget=_number(headers.get("budget_ms")) / 1000,
        expires_after=_number(expiration) if expiration is not None else None,
        reply_to=raw.reply_to or "",
        correlation_id=str(raw.correlation_id or ""),
        redelivered=bool(raw.redelivered),
    )


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


def durable(
    message_id: UUID,
    body: bytes,
    topic: str,
    app_id: str,
    story_id: UUID,
    cause: UUID | None,
    actor: str,
    traceparent: str | None = None,
) -> Publishing:
    """A persistent message to be confirmed; `at_ms` is its time, which AMQP's timestamp rounds to seconds."""
    headers = _headers(story_id, cause, actor)
    headers["at_ms"] = int(datetime.now(UTC).timestamp() * 1000)
    if traceparent:
        headers["traceparent"] = traceparent
    return Publishing(body, topic, app_id, persistent=True, headers=headers, message_id=str(message_id))


def _headers(story_id: UUID, cause: UUID | None, actor: str) -> dict[str, Header]:
    headers: dict[str, Header] = {"story_id": str(story_id), "actor": actor}
    if cause is not None:
        headers["causation_id"] = str(cause)
    return headers


def request(sent: Any, app_id: str, *, reply_to: str, correlation_id: str, expires: float, budget: float) -> Publishing:
    """A transient message that the broker drops after `expires` seconds."""
    headers = _headers(sent.story_id, sent.causation_id, sent.actor)
    headers["budget_ms"] = int(budget * 1000)
    if sent.digest:
        headers["request_digest"] = sent.digest
    if sent.traceparent:
        headers["traceparent"] = sent.traceparent
    return Publishing(
        sent.body,
        sent.topic,
        app_id,
        headers=headers,
        correlation_id=correlation_id,
        reply_to=reply_to,
        expiration=expires,
        message_id=str(sent.message_id),
    )


def reply(kind: str, body: bytes, correlation_id: str, app_id: str, *, replayed: bool) -> Publishing:
    """A reply; its AMQP type is the outcome."""
    headers: dict[str, Header] = {"replayed": True} if replayed else {}
    return Publishing(body, kind, app_id, headers=headers, correlation_id=correlation_id)


def dead_letter_copy(raw: AbstractIncomingMessage, queue: str, reason: str) -> Message:
    """A copy for the dead-letter exchange, with the reason, its queue and its id (the client invents one for none)."""
    found = {"x-reason": reason[:1000], "x-queue": queue, "x-message-id": raw.message_id or ""}
    return Message(
        raw.body,
        message_id=raw.message_id,
        type=raw.type,
        app_id=raw.app_id,
        content_type=raw.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        headers={**raw.headers, **found},
    )


def _uuid(value: Any, name: str) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise Unreadable(f"{name} is not a UUID") from None


def _number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0
