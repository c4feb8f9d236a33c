"""The outbox relay: publishes at once what was committed, and later what a crash left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import structlog

from contracts.base import CATALOGUE, Event, Message
from storage.database import Database
from storage.inbox import Inbox, OutboxMessage
from workers.runtime.messaging import envelope
from workers.runtime.messaging.broker import Broker
from workers.runtime.observability.log_events import NO_CONTRACT, PUBLISH_FAILED
from workers.runtime.processing import failpoints
from workers.runtime.settings import Settings

log = structlog.get_logger()

CONCURRENT_PUBLICATIONS = 256
LEASE = timedelta(seconds=10)


class OutboxRelay:
    """Publishes outbox rows and forgets those that were confirmed, in batches."""

    def __init__(self, context: str, database: Database, inbox: Inbox, broker: Broker, settings: Settings) -> None:
        self._context = context
        self._database = database
        self._inbox = inbox
        self._broker = broker
        self._older = timedelta(seconds=settings.relay_after_seconds)
        self._sent: list[UUID] = []
        self._tasks: set[asyncio.Task[bool]] = set()
        self.on_committed: Callable[[OutboxMessage], None] = lambda row: None
        self.failed = 0
        """Publications that were nacked, unroutable or unanswered since the start."""

    def publish_committed(self, rows: list[OutboxMessage]) -> None:
        """Publish committed rows; what fails is left to `relay_leftovers`."""
        for row in rows:
            self.on_committed(row)
            if self._broker.is_usable and len(self._tasks) < CONCURRENT_PUBLICATIONS:
                task = asyncio.create_task(self._publish(row))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _publish(self, row: OutboxMessage) -> bool:
        contract = CATALOGUE.get(row.topic)
        if contract is None:
            log.error(NO_CONTRACT, context=self._context, topic=row.topic)
            return False
        if failpoints.hook:
            await failpoints.hook(self._context, "publish")
        message_id = str(row.id)
        try:
            await self._broker.publish(
                row.body.encode(),
                routing_key=_routing_key(contract, row),
                exchange=envelope.exchange(contract.exchange),
                persist=True,
                headers=envelope.durable_headers(row.story_id, row.causation_id, row.actor, row.traceparent),
                message_id=message_id,
                correlation_id=message_id,
                message_type=row.topic,
            )
        except Exception as error:  # whatever it is, the row stays, and is published again
            self.failed += 1
            log.warning(
                PUBLISH_FAILED, context=self._context, topic=row.topic, message_id=message_id, error=repr(error)
            )
            return False
        if failpoints.hook:
            await failpoints.hook(self._context, "confirmed")
        self._sent.append(row.id)
        return True

    async def flush(self) -> None:
        """Delete what was confirmed; after a failure it is published once more, which is harmless."""
        ids, self._sent = self._sent[:1000], self._sent[1000:]
        if not ids:
            return
        try:
            async with self._database.session() as session:
                await self._inbox.delete_sent(session, ids)
        except BaseException:
            self._sent.extend(ids)
            raise

    async def relay_leftovers(self) -> None:
        """Publish what is older than a while, a batch at a time, until nothing is left."""
        while self._broker.is_usable:
            async with self._database.session() as session:
                rows = await self._inbox.lease_unsent(session, self._older, LEASE, CONCURRENT_PUBLICATIONS)
            if not rows:
                return
            if failpoints.hook:
                await failpoints.hook(self._context, "leftovers")
            sent = await asyncio.gather(*map(self._publish, rows))
            await self.flush()
            if not any(sent):
                return

    async def drain(self) -> None:
        """Wait for the publications under way, then delete their rows."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=5)
        while self._sent:
            await self.flush()


def _routing_key(contract: type[Message], row: OutboxMessage) -> str:
    """The topic, and behind it the context that an event is about."""
    if not issubclass(contract, Event) or contract.about is None:
        return row.topic
    about = json.loads(row.body)[contract.about]
    return f"{row.topic}.{about}" if about else row.topic
