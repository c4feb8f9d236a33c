"""Reports of a process to the journal: small batches, best effort."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from contracts.journal import EntryKind, Handled, ProcessStatus, RecordHandled
from workers.runtime.messaging.accelerator.codec import Publishing
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus
from workers.runtime.messaging.envelope import Envelope
from workers.runtime.messaging.rpc import RpcReply, RpcRequest

BATCH = 200
ENTRIES_KEPT = 5_000


class Reports:
    """Collects entries and sends them; while they cannot be sent, the oldest are dropped."""

    def __init__(self, context: str, bus: Bus) -> None:
        self._context = context
        self._bus = bus
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

    def status(self, counts: Mapping[str, Any], ready: bool, breakers: Mapping[str, str]) -> None:
        """Note the status of this process; only the last one is sent."""
        self._status = ProcessStatus.model_validate(
            {
                **counts,
                "context": self._context,
                "replica": self._bus.reply_queue[-44:-36],
                "at": datetime.now(UTC),
                "ready": ready,
                "breakers": [{"callee": callee, "state": state} for callee, state in sorted(breakers.items())],
            }
        )

    async def flush(self) -> None:
        """Send what was noted."""
        while (self._entries or self._status) and self._bus.connected:
            batch = [self._entries.popleft() for _ in range(min(BATCH, len(self._entries)))]
            report = RecordHandled.model_construct(entries=batch, standing=self._status)
            self._status = None
            body = report.model_dump_json().encode()
            message = Publishing(body, report.topic, self._context, expiration=600, message_id=str(uuid4()))
            try:
                await self._bus.publish_unconfirmed(report.topic, message)
            except BROKER_ERRORS:
                return
