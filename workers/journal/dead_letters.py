"""Dead letters: filed once with their reason, read by a person, handled again or given up."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog
from aio_pika.abc import AbstractIncomingMessage

from contracts.base import CATALOGUE, Refused
from contracts.journal import (
    DeadLetter,
    DeadLetters,
    FileDeadLetter,
    ListDeadLetters,
    ResolveDeadLetter,
    ShowDeadLetter,
    take_up_dead_letter,
)
from storage import journal as store
from storage.database import Row, Session
from storage.inbox import OutboxMessage
from storage.journal import Dead
from workers.journal.declared import journal
from workers.journal.feed import Ended, listen
from workers.journal.masking import mask_cards, readable
from workers.runtime.messaging.envelope import Unreadable, read_body
from workers.runtime.messaging.topology import DEAD_QUEUE
from workers.runtime.observability import metrics
from workers.runtime.processing.tx import RetryableNotFound, Tx
from workers.runtime.processing.worker_runtime import WorkerRuntime

log = structlog.get_logger()

AT_ONCE = 100
BODY_LIMIT, TEXT_LIMIT = 65_536, 4_000
REASONS = {
    "delivery_limit": "delivered too often: whoever took it up crashed, or gave it back",
    "rejected": "rejected by its reader",
    "expired": "nobody read it in time",
    "maxlen": "its queue was full",
}
"""What the broker's own reasons mean."""


# -- filing


@journal.handles(FileDeadLetter)
async def file_dead_letter(command: FileDeadLetter, tx: Tx) -> None:
    await store.file(tx, [given_up(command, death=str(tx.id))])


@journal.every(1)
async def read_dead_queue(context: WorkerRuntime) -> None:
    """File what the broker or a runtime put into the queue of the dead; acknowledged once it is kept."""
    url = context.settings.amqp_url.get_secret_value()
    try:
        async with listen(url, "journal: reads dead letters", DEAD_QUEUE, prefetch=AT_ONCE) as feed:
            while True:
                messages = await feed.batch(AT_ONCE)
                await _file(context, [died(message) for message in messages])
                await feed.ack(messages[-1])
    except Ended as end:
        log.warning("the queue of the dead is away", context=context.name, reason=str(end))


async def _file(context: WorkerRuntime, letters: list[Dead]) -> None:
    async with context.database.transaction() as session:
        await store.file(session, letters)
    for letter in letters:
        log.error("a dead letter", source=letter.source, queue=letter.queue, error=letter.error)


@journal.gauge
async def count(session: Session) -> None:
    """Of all contexts, because a message that nobody can read is filed here and nowhere else."""
    letters = await store.count_dead_letters(session)
    metrics.DEAD_LETTERS.clear()
    for owner, number in letters.items():
        metrics.DEAD_LETTERS.labels(owner).set(number)


def given_up(command: FileDeadLetter, death: str) -> Dead:
    """The dead letter of a context that has the message in its inbox."""
    body, whole = _kept(command.body)
    return Dead(
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


def died(message: AbstractIncomingMessage) -> Dead:
    """The dead letter of a message that lies in the queue of the dead."""
    headers: dict[str, Any] = dict(message.headers)
    queue = str(headers.get("x-queue") or headers.get("x-first-death-queue") or "") or None
    topic, _, context = (queue or "").rpartition("@")
    message_id = str(headers.get("x-message-id", message.message_id) or "")
    digest = sha256(message.body).hexdigest()
    body, whole = _kept(readable(message.body))
    shown = _text(json.dumps(headers, default=_plain, ensure_ascii=False, sort_keys=True))
    return Dead(
        dead_letter_id=uuid5(NAMESPACE_OID, f"dead letter {queue} {message_id or digest}"),
        source="broker",
        context=context or "unknown",
        queue=queue,
        message_id=_text(message_id) or None,
        topic=_text(topic or message.type or message.routing_key or "") or None,
        body=body,
        whole=whole and body.encode() == message.body,
        headers=shown,
        error=_text(_reason(headers)),
        attempts=_count(headers.get("x-delivery-count")),
        death=sha256(f"{digest} {shown} {message.timestamp}".encode()).hexdigest(),
        story_id=_uuid(headers.get("story_id")),
        causation_id=_uuid(headers.get("causation_id")),
        actor=_text(str(headers.get("actor") or message.app_id or "unknown")),
        again=bool(message.redelivered),
    )


def _reason(headers: dict[str, Any]) -> str:
    if reason := headers.get("x-reason"):
        return str(reason)
    reason = str(headers.get("x-first-death-reason") or "")
    return REASONS.get(reason, reason) or "put into the queue of the dead by hand"


def _kept(body: str) -> tuple[str, bool]:
    """A body as it may be kept, and whether it is still whole."""
    masked = mask_cards(body.replace("\x00", "\\x00"))
    cut = masked.encode()[:BODY_LIMIT].decode(errors="ignore")
    return cut, cut == body


def _text(value: str) -> str:
    return mask_cards(value.replace("\x00", "\\x00"))[:TEXT_LIMIT]


def _plain(value: Any) -> str:
    return readable(bytes(value)) if isinstance(value, bytes | bytearray) else str(value)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 2**31 else 1


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


# -- looking


@journal.handles(ListDeadLetters)
async def list_dead_letters(query: ListDeadLetters, session: Session) -> DeadLetters:
    letters, cursor = await store.list_dead_letters(session, query)
    return DeadLetters(items=letters, next_cursor=cursor)


@journal.handles(ShowDeadLetter)
async def show_dead_letter(query: ShowDeadLetter, session: Session) -> DeadLetter:
    row = await store.look(session, query.dead_letter_id)
    if row is None:
        raise RetryableNotFound(dead_letter_id=str(query.dead_letter_id))
    return store.dead_letter_of(row, await store.resolutions_of(session, query.dead_letter_id))


# -- resolving


@journal.handles(ResolveDeadLetter)
async def resolve_dead_letter(command: ResolveDeadLetter, tx: Tx) -> DeadLetter:
    if command.caller.role != "operator":
        raise Refused("wrong_role")
    status = "REPLAYED" if command.action == "replay" else "DISCARDED"
    row = await store.close(
        tx, tx.id, command.dead_letter_id, status, command.action, command.caller.member_id, command.reason
    )
    if row is None:
        standing = await store.look(tx, command.dead_letter_id)
        raise Refused("wrong_state", current_status=standing["status"]) if standing else Refused("not_found")
    if row["source"] == "retries":
        take_up = take_up_dead_letter(row["context"])
        tx.publish(take_up(message_id=UUID(row["message_id"]), action=command.action, reason=command.reason))
    elif command.action == "replay":
        await tx.inbox.post(tx, message_again(row))
    return store.dead_letter_of(row)


def message_again(row: Row) -> OutboxMessage:
    """The message of a dead letter as it was said first; raises Refused (`not_replayable`) with the reason."""
    message_id, topic = _uuid(row["message_id"]), row["topic"]
    message = CATALOGUE.get(topic)
    if message_id is None:
        raise Refused("not_replayable", reason="the message has no id: its reader could not tell it from another")
    if message is None:
        raise Refused("not_replayable", reason=f"nobody knows a message that is called {topic}")
    if message.delivery() == "request":
        raise Refused("not_replayable", reason="it was asked, and nobody waits for the answer any more")
    if not row["whole"]:
        raise Refused("not_replayable", reason="its body was too long, not UTF-8, or masked, and is not kept as it was")
    try:
        read_body(message, row["body"].encode())
    except Unreadable as unreadable:
        raise Refused("not_replayable", reason=str(unreadable)) from None
    return OutboxMessage(
        message_id, topic, row["body"], row["story_id"] or message_id, row["causation_id"], row["actor"]
    )
