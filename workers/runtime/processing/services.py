"""What the processing of messages shares within one running context."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from storage.database import Database
from storage.inbox import Inbox
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.processing.availability import DatabaseAvailability
from workers.runtime.processing.batcher import TransactionBatcher
from workers.runtime.processing.outbox import OutboxRelay
from workers.runtime.settings import Settings

Resource = TypeVar("Resource")


@dataclass(slots=True)
class Services:
    """The parts of one running context."""

    name: str
    settings: Settings
    database: Database
    inbox: Inbox
    availability: DatabaseAvailability
    rpc: RpcClient
    outbox: OutboxRelay
    batcher: TransactionBatcher
    resources: dict[type, Any] = field(default_factory=dict)

    def resource(self, kind: type[Resource]) -> Resource:
        """What a `@worker.resource` of this type opened; raises KeyError when there is none."""
        opened: Resource = self.resources[kind]
        return opened
