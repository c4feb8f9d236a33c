"""A broker without RabbitMQ: it records requests and replies as a test says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from tests.support.system import eventually
from workers.runtime.messaging.rpc import RpcRequest


@dataclass
class PublishedRequest:
    """A request as it was given to the broker, and the reply that it waits for."""

    body: bytes
    routing_key: str
    exchange: str
    options: dict[str, Any]
    reply: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, kind: str, body: bytes = b"{}", **headers: Any) -> None:
        """Deliver its reply."""
        raw = SimpleNamespace(correlation_id=self.options["correlation_id"], type=kind, body=body, headers=headers)
        self.reply.set_result(SimpleNamespace(raw_message=raw))

    def fail(self, error: Exception) -> None:
        """Have `request` raise this error."""
        self.reply.set_exception(error)


class FakeBroker:
    """The part of a broker that an `RpcClient` uses."""

    name = "test"

    def __init__(self) -> None:
        self.is_usable = True
        self.queue_state: tuple[int, int] | None = (0, 1)
        """Messages and consumers of every queue; None: the queue does not exist."""
        self.inspection_seconds = 0.0
        self.inspection_error: Exception | None = None
        self.request_error: Exception | None = None
        self.inspected: list[str] = []
        self.requests: list[PublishedRequest] = []
        self.answers: list[tuple[str, bytes]] = []
        """Kinds and bodies of the next replies; the last one repeats; empty: no reply."""

    async def inspect_queue(self, queue: str) -> tuple[int, int] | None:
        self.inspected.append(queue)
        await asyncio.sleep(self.inspection_seconds)
        if self.inspection_error:
            raise self.inspection_error
        return self.queue_state

    async def request(self, body: bytes, *, routing_key: str, exchange: Any, timeout: float, **options: Any) -> Any:
        published = PublishedRequest(body, routing_key, exchange.name, options)
        self.requests.append(published)
        if self.request_error:
            raise self.request_error
        if self.answers:
            published.answer(*(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]))
        async with asyncio.timeout(timeout):
            return await published.reply

    async def published(self, number: int) -> None:
        """Wait until this number of requests was published."""

        async def enough() -> bool:
            return len(self.requests) >= number

        await eventually(enough, every=0)


def request(topic: str = "sample.decide") -> RpcRequest:
    id = uuid4()
    return RpcRequest(topic, "yeyak.commands", b"{}", id, "customer:kim", id)
