"""Reports of a process to the journal: small batches, best effort."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from contracts.journal import EntryKind, Handled, ProcessStatus, RecordHandled
from workers.runtime.messaging import envelope
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import Envelope, RpcReply, RpcRequest
from workers.runtime.messaging.errors import BROKER_ERRORS

BATCH = 200
REPORT_SECONDS = 600
"""After which a report that nobody has read is dropped."""
ENTRIES_KEPT = 5_000
LONGEST_PROBLEM = 300


class Reports:
    """Collects entries and sends them; while they cannot be sent, the oldest are dropped."""

    def __init__(self, context: str, broker: Broker) -> None:
        self._context = context
        self._broker = broker
        self._entries: deque[Handled] = deque(maxlen=ENTRIES_KEPT)
        self._status: ProcessStatus | None = None

    def handled(self, kind: EntryKind, envelope: Envelope, outcome: str, took: float) -> None:
        """Note how one message was handled; `took` in seconds."""
        self._note(
            kind,
            envelope.id,
            envelope.topic,
            outcome,
            envelope.story_id,
            envelope.causation_id,
            envelope.actor,
            took,
            envelope.attempt,
        )

    def requested(self, request: RpcRequest, reply: RpcReply, took: float) -> None:
        """Note how one request ended."""
        self._note(
            "ask",
            request.message_id,
            request.topic,
            reply.kind,
            request.story_id,
            request.causation_id,
            request.actor,
            took,
            1,
        )

    def _note(
        self,
        kind: EntryKind,
        message_id: UUID,
        topic: str,
        outcome: str,
        story_id: UUID,
        causation_id: UUID | None,
        actor: str,
        took: float,
        attempt: int,
    ) -> None:
        self._entries.append(
            Handled.model_construct(
                kind=kind,
                context=self._context,
                message_id=message_id,
                topic=topic,
                outcome=outcome,
                story_id=story_id,
                causation_id=causation_id,
                actor=actor,
                at=datetime.now(UTC),
                took_ms=round(took * 1000, 3),
                attempt=attempt,
            )
        )

    def status(
        self, counts: Mapping[str, Any], ready: bool, breakers: Mapping[str, str], problems: Mapping[str, str]
    ) -> None:
        """Note the status of this process; only the last one is sent."""
        self._status = ProcessStatus.model_validate(
            {
                **counts,
                "context": self._context,
                "replica": self._broker.producer.reply_queue[-44:-36],
                "at": datetime.now(UTC),
                "ready": ready,
                "problems": [f"{source}: {text}"[:LONGEST_PROBLEM] for source, text in problems.items()],
                "breakers": [{"callee": callee, "state": state} for callee, state in sorted(breakers.items())],
            }
        )

    async def flush(self) -> None:
        """Send what was noted."""
        while (self._entries or self._status) and self._broker.is_usable:
            batch = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
            report = RecordHandled.model_construct(entries=batch, standing=self._status)
            self._status = None
            body, message_id = report.model_dump_json().encode(), str(uuid4())
            try:
                await self._broker.publish(
                    body,
                    routing_key=report.topic,
                    exchange=envelope.exchange(report.exchange),
                    mandatory=False,
                    expiration=REPORT_SECONDS,
                    message_id=message_id,
                    correlation_id=message_id,
                    message_type=report.topic,
                )
            except BROKER_ERRORS:
                return
