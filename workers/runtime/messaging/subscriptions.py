"""What the messaging package needs to know of a context: its queues, and what travels in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from contracts.base import Message


class Subscription(Protocol):
    """The messages of one queue."""

    @property
    def message(self) -> type[Message]: ...

    @property
    def keys(self) -> list[str]: ...


class QueueOwner(Protocol):
    """A context, with its subscriptions by the names of its queues."""

    def queues(self) -> Mapping[str, Subscription]: ...
