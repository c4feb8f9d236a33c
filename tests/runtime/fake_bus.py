"""A bus without a broker: it records requests and replies as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from tests.support.system import eventually
from workers.runtime.messaging.rpc import RpcRequest


class FakeBus:
    """The part of a bus that an `RpcClient` uses."""

    def __init__(self) -> None:
        self.connected = True
        self.reply_queue = "test@replies"
        self.on_reply: Callable[[Any], None] = lambda _: None
        self.queue_state: tuple[int, int] | None = (0, 1)
        """Messages and consumers of every queue; None: the queue does not exist."""
        self.inspection_seconds = 0.0
        self.inspection_error: Exception | None = None
        self.request_error: Exception | None = None
        self.inspected: list[str] = []
        self.requests: list[Any] = []
        self.forgotten: list[Any] = []
        """Requests whose return is no longer expected."""
        self.return_last_request: Callable[[], None] = lambda: None
        """Return the last request as unroutable."""
        self.on_lost: Callable[[], None] = lambda: None
        self.answers: list[tuple[str, bytes]] = []
        """Kinds and bodies of the next replies; the last one repeats; empty: no reply."""

    async def inspect_queue(self, queue: str) -> tuple[int, int] | None:
        self.inspected.append(queue)
        await asyncio.sleep(self.inspection_seconds)
        if self.inspection_error:
            raise self.inspection_error
        return self.queue_state

    async def request(
        self, exchange: str, topic: str, message: Any, on_return: Callable[[], None]
    ) -> Callable[[], None]:
        self.requests.append(message)
        self.return_last_request = on_return
        if self.request_error:
            raise self.request_error
        if self.answers:
            kind, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            self.reply(message.correlation_id, kind, body)
        return lambda: self.forgotten.append(message)

    async def published(self, number: int) -> None:
        """Wait until this number of requests was published."""

        async def enough() -> bool:
            return len(self.requests) >= number

        await eventually(enough, every=0)

    def reply(self, correlation_id: str, kind: str, body: bytes = b"{}", **headers: Any) -> None:
        """Deliver a message of the reply queue."""
        self.on_reply(SimpleNamespace(correlation_id=correlation_id, type=kind, body=body, headers=headers))


def request(topic: str = "sample.decide") -> RpcRequest:
    id = uuid4()
    return RpcRequest(topic, "yeyak.commands", b"{}", id, "customer:kim", id)
