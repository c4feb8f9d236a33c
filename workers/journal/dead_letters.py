"""Dead letters: stored once with their reason, shown to operators, replayed or discarded."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog
from aio_pika.abc import AbstractIncomingMessage

from contracts.base import CATALOGUE
from contracts.journal import (
    DeadLetter,
    DeadLetterNotFound,
    DeadLetters,
    FileDeadLetter,
    ListDeadLetters,
    NotReplayable,
    ResolveDeadLetter,
    ShowDeadLetter,
    take_up_dead_letter,
)
from contracts.refusals import NotFound, WrongRole, WrongState
from storage import journal as store
from storage.database import CONNECTION_ERRORS, Row, Session
from storage.inbox import OutboxMessage
from storage.journal import NewDeadLetter
from workers.journal.base import journal
from workers.journal.masking import id_in, mask_cards, printable
from workers.runtime.messaging.batch_consumer import consume_batches
from workers.runtime.messaging.envelope import Unreadable, read_body
from workers.runtime.messaging.topology import DEAD_QUEUE
from workers.runtime.observability import metrics
from workers.runtime.processing.tx import Retryable, Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

BATCH_SIZE = 100
BODY_LIMIT, TEXT_LIMIT = 65_536, 4_000
REASONS = {
    "delivery_limit": "delivered too often: each consumer crashed or requeued it",
    "rejected": "rejected by its consumer",
    "expired": "expired before a consumer received it",
    "maxlen": "its queue was full",
}
"""Texts for the broker's own reasons (header `x-first-death-reason`)."""


# -- storing


@journal.handles(FileDeadLetter)
async def file_dead_letter(command: FileDeadLetter, tx: Tx) -> None:
    await store.file_dead_letters(tx, [from_context(command, death=str(tx.id))])


@journal.every(1)
async def read_dead_queue(context: WorkerRuntime) -> None:
    """Store the messages of the dead-letter queue; each is acknowledged once it is stored. Raises ConsumerClosed."""
    url = context.settings.amqp_url.get_secret_value()
    async with consume_batches(url, "journal: reads dead letters", DEAD_QUEUE, prefetch=BATCH_SIZE) as consumer:
        context.health.succeeded(read_dead_queue.__qualname__)
        while True:
            messages = await consumer.batch(BATCH_SIZE)
            await _store(context, messages)
            await consumer.ack(messages[-1])


async def _store(context: WorkerRuntime, messages: list[AbstractIncomingMessage]) -> None:
    """Store what can be stored; of a message that cannot, only that it was there."""
    try:
        dead_letters = [from_queue(message) for message in messages]
        await _file(context, dead_letters)
    except (*CONNECTION_ERRORS, TimeoutError):
        raise
    except Exception as error:
        if half := len(messages) // 2:
            await _store(context, messages[:half])
            await _store(context, messages[half:])
            return
        dead_letters = [unreadable(messages[0], error)]
        await _file(context, dead_letters)


async def _file(context: WorkerRuntime, dead_letters: list[NewDeadLetter]) -> None:
    async with context.database.transaction() as session:
        await store.file_dead_letters(session, dead_letters)
    for dead_letter in dead_letters:
        log.error("message_dead_lettered", source=dead_letter.source, queue=dead_letter.queue, error=dead_letter.error)


@journal.gauge
async def count_dead_letters(session: Session) -> None:
    """Set the gauge of open dead letters of all contexts: unreadable messages are stored in the journal only."""
    counts = await store.count_dead_letters(session)
    metrics.DEAD_LETTERS.clear()
    for owner, number in counts.items():
        metrics.DEAD_LETTERS.labels(owner).set(number)


def from_context(command: FileDeadLetter, death: str) -> NewDeadLetter:
    """The dead letter of a message that lies in the inbox of its context."""
    body, whole = _stored_body(command.body)
    return NewDeadLetter(
        dead_letter_id=uuid5(NAMESPACE_OID, f"dead letter {command.context} {command.message_id}"),
        source="retries",
        context=command.context,
        queue=f"{command.message_topic}@{command.context}",
        message_id=str(command.message_id),
        topic=command.message_topic,
        body=body,
        whole=whole,
        headers="{}",
        error=_text(command.error),
        attempts=command.attempts,
        death=death,
        story_id=command.story_id,
        causation_id=command.causation_id,
        actor=command.actor,
    )


def from_queue(message: AbstractIncomingMessage) -> NewDeadLetter:
    """The dead letter of a message in the dead-letter queue."""
    headers: dict[str, Any] = dict(message.headers)
    queue = str(headers.get("x-queue") or headers.get("x-first-death-queue") or "") or None
    topic, _, context = (queue or "").rpartition("@")
    message_id = str(headers.get("x-message-id", message.message_id) or "")
    digest = sha256(message.body).hexdigest()
    body, whole = _stored_body(printable(message.body))
    headers_text = _text(json.dumps(headers, default=_plain, ensure_ascii=False, sort_keys=True))
    return NewDeadLetter(
        dead_letter_id=uuid5(NAMESPACE_OID, f"dead letter {queue} {message_id or digest}"),
        source="broker",
        context=context or "unknown",
        queue=queue,
        message_id=_text(message_id) or None,
        topic=_text(topic or message.type or message.routing_key or "") or None,
        body=body,
        whole=whole and body.encode() == message.body,
        headers=headers_text,
        error=_text(_reason(message, headers)),
        attempts=_count(headers.get("x-delivery-count")),
        death=sha256(f"{digest} {headers_text} {message.timestamp}".encode()).hexdigest(),
        story_id=id_in(headers.get("story_id")),
        causation_id=id_in(headers.get("causation_id")),
        actor=_text(str(headers.get("actor") or message.app_id or "unknown")),
        redelivered=bool(message.redelivered),
    )


def unreadable(message: AbstractIncomingMessage, error: Exception) -> NewDeadLetter:
    """The dead letter of a message of which nothing can be stored but the digest of its body."""
    digest = sha256(message.body).hexdigest()
    return NewDeadLetter(
        dead_letter_id=uuid5(NAMESPACE_OID, f"dead letter {digest}"),
        source="broker",
        context="unknown",
        queue=None,
        message_id=None,
        topic=None,
        body=f"sha256 {digest}",
        whole=False,
        headers="{}",
        error=f"cannot be stored: {type(error).__name__}",
        attempts=1,
        death=digest,
        story_id=None,
        causation_id=None,
        actor="unknown",
        redelivered=bool(message.redelivered),
    )


def _reason(message: AbstractIncomingMessage, headers: dict[str, Any]) -> str:
    if reason := headers.get("x-reason"):
        return str(reason)
    if reason := getattr(message, "unreadable", ""):
        return f"a property cannot be read: {reason}"
    reason = str(headers.get("x-first-death-reason") or "")
    return REASONS.get(reason, reason) or "published to the dead-letter queue without a reason"


def _stored_body(body: str) -> tuple[str, bool]:
    """The body with card numbers masked, truncated to BODY_LIMIT bytes; and whether it is unchanged."""
    masked = mask_cards(body.replace("\x00", "\\x00"))
    cut = masked.encode()[:BODY_LIMIT].decode(errors="ignore")
    return cut, cut == body


def _text(value: str) -> str:
    return mask_cards(value.replace("\x00", "\\x00"))[:TEXT_LIMIT]


def _plain(value: Any) -> str:
    return printable(bytes(value)) if isinstance(value, bytes | bytearray) else str(value)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**31 else 1


# -- queries


@journal.handles(ListDeadLetters)
async def list_dead_letters(query: ListDeadLetters, session: Session) -> DeadLetters:
    page = await store.list_dead_letters(session, query)
    return DeadLetters(items=page.items, next_cursor=page.next_cursor)


@journal.handles(ShowDeadLetter)
async def show_dead_letter(query: ShowDeadLetter, session: Session) -> DeadLetter:
    row = await store.find_dead_letter(session, query.dead_letter_id)
    if row is None:
        raise Retryable(DeadLetterNotFound(dead_letter_id=str(query.dead_letter_id)))
    return store.dead_letter_of(row, await store.resolutions_of(session, query.dead_letter_id))


# -- resolving


@journal.handles(ResolveDeadLetter)
async def resolve_dead_letter(command: ResolveDeadLetter, tx: Tx) -> DeadLetter:
    if command.caller.role != "operator":
        raise WrongRole
    status = "REPLAYED" if command.action == "replay" else "DISCARDED"
    row = await store.close_dead_letter(
        tx, tx.id, command.dead_letter_id, status, command.action, command.caller.member_id, command.reason
    )
    if row is None:
        current = await store.find_dead_letter(tx, command.dead_letter_id)
        raise WrongState(current_status=current["status"]) if current else NotFound
    if row["source"] == "retries":
        take_up = take_up_dead_letter(row["context"])
        tx.publish(take_up(message_id=UUID(row["message_id"]), action=command.action, reason=command.reason))
    elif command.action == "replay":
        await tx.inbox.add_messages(tx, [replayed_message(row)])
    return store.dead_letter_of(row)


def replayed_message(row: Row) -> OutboxMessage:
    """The original message of a dead letter; raises NotReplayable."""
    message_id, topic = id_in(row["message_id"]), row["topic"]
    message = CATALOGUE.get(topic)
    if message_id is None:
        raise NotReplayable(reason="the message has no id: its consumer could not detect a duplicate")
    if message is None:
        raise NotReplayable(reason=f"no message has the topic {topic}")
    if message.delivery() == "request":
        raise NotReplayable(reason="it was a request, and its requester no longer waits for the reply")
    if not row["whole"]:
        raise NotReplayable(reason="its body was truncated, escaped or masked: the original is not stored")
    try:
        read_body(message, row["body"].encode())
    except Unreadable as unreadable:
        raise NotReplayable(reason=str(unreadable)) from None
    return OutboxMessage(
        message_id, topic, row["body"], row["story_id"] or message_id, row["causation_id"], row["actor"]
    )
