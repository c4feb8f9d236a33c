"""Asking another context: a query or a command over a queue, with four outcomes and never fewer.

done         an answer came
refused      an answer that says no, with a reason
unavailable  certainly not begun: nobody behind the door, backlog too long, breaker open, connection gone, unroutable
unknown      published, and no answer in time: whatever may have happened must be undone or found out
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Literal, get_args
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from workers.runtime.messaging import envelope
from workers.runtime.messaging.breaker import Admitted, CircuitBreaker
from workers.runtime.messaging.bus import BROKER_ERRORS, REPLIES, Bus
from workers.runtime.observability import tracing
from workers.runtime.settings import Settings

Kind = Literal["done", "refused", "unavailable", "unknown", "still_running"]
KINDS = get_args(Kind)

ASK_AGAIN_SECONDS = 0.1
FRESH_SECONDS = 0.25


@dataclass(slots=True)
class RpcRequest:
    """What is asked; the same `message_id` again is the same request."""

    topic: str
    exchange: str
    body: bytes
    message_id: UUID
    actor: str
    story_id: UUID
    causation_id: UUID | None = None
    digest: str = ""
    traceparent: str | None = None

    @property
    def callee(self) -> str:
        """The context that answers."""
        return self.topic.rpartition(".")[0]

    @property
    def queue(self) -> str:
        return f"{self.topic}@{self.callee}"


@dataclass(slots=True)
class RpcReply:
    """How an ask ended."""

    kind: Kind
    body: bytes = b""
    """done: the answer's JSON; refused: `{"code": ...}` and details."""
    replayed: bool = False
    """The stored answer of an earlier try with the same message id."""
    retry_after: int | None = None
    """Whole seconds, with `unavailable`."""


UNKNOWN = RpcReply("unknown")


class QueueAvailability:
    """Whether anybody is behind a queue: looked at when last seen longer than a quarter of a second ago."""

    def __init__(self, bus: Bus, queue: str, limit: int) -> None:
        self._bus = bus
        self._queue = queue
        self._limit = limit
        self._open = False
        self._seen = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def is_open(self) -> bool:
        """A consumer is there, and the backlog can be served in time."""
        if time.monotonic() - self._seen > FRESH_SECONDS:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)
        return self._open

    async def _look(self) -> None:
        try:
            found = await self._bus.inspect_queue(self._queue)
        except BROKER_ERRORS:
            found = None
        self._open = found is not None and found[1] > 0 and found[0] < self._limit
        self._seen = time.monotonic()


class RpcClient:
    """Asks over one reply queue, any number at a time."""

    def __init__(self, bus: Bus, name: str, settings: Settings) -> None:
        self._bus = bus
        self._name = name
        self._settings = settings
        self._numbers = count(1)
        self._waiting: dict[str, asyncio.Future[RpcReply]] = {}
        self._doors: dict[str, QueueAvailability] = {}
        self.breakers: dict[str, CircuitBreaker] = {}
        self.on_outcome: Callable[[RpcRequest, RpcReply, float], None] = lambda request, reply, took: None

    async def start(self) -> None:
        """Listen for replies; the bus must have been started."""
        self._bus.on_reply = self._heard
        self._bus.on_lost = self._lost

    async def stop(self) -> None:
        for future in self._waiting.values():
            future.cancel()

    def _heard(self, message: AbstractIncomingMessage) -> None:
        future = self._waiting.get(message.correlation_id or "")
        if future is None or future.done():
            return
        kind: Kind = message.type if message.type in KINDS else "unknown"  # type: ignore[assignment]
        future.set_result(
            RpcReply(kind, message.body, bool(message.headers.get("replayed")), 1 if kind == "unavailable" else None)
        )

    def _returned(self, correlation_id: str) -> None:
        future = self._waiting.get(correlation_id)
        if future is not None and not future.done():
            future.set_result(RpcReply("unavailable", retry_after=2))

    def _lost(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection broke while an answer was awaited"))

    def breaker(self, callee: str) -> CircuitBreaker:
        """The breaker that guards a context."""
        if callee not in self.breakers:
            self.breakers[callee] = CircuitBreaker(self._settings.breaker_rest_seconds)
        return self.breakers[callee]

    def _door(self, queue: str) -> QueueAvailability:
        if queue not in self._doors:
            self._doors[queue] = QueueAvailability(self._bus, queue, self._settings.backlog_limit)
        return self._doors[queue]

    async def shut(self, callee: str, queue: str) -> RpcReply | None:
        """The refusal that an ask would meet now, None when it would be let through."""
        breaker = self.breaker(callee)
        if breaker.is_open():
            return RpcReply("unavailable", retry_after=breaker.retry_after)
        if not self._bus.connected or not await self._door(queue).is_open():
            return RpcReply("unavailable", retry_after=2)
        return None

    async def call(self, request: RpcRequest, *, within: float, budget: float) -> RpcReply:
        """Request, and ask again while the same request is at work; `within` and `budget` in seconds."""
        started = time.monotonic()
        span = tracing.ask(tracing.on, request, self._name) if tracing.on is not None else None
        reply = UNKNOWN
        try:
            reply = await self._call(request, started + within, within, budget)
        finally:
            if span is not None:
                tracing.end(span, reply.kind)
        self.on_outcome(request, reply, time.monotonic() - started)
        return reply

    async def _call(self, request: RpcRequest, deadline: float, within: float, budget: float) -> RpcReply:
        breaker = self.breaker(request.callee)
        running: RpcReply | None = None
        while True:
            if refusal := await self.shut(request.callee, request.queue):
                return running or refusal
            left = deadline - time.monotonic()
            if left <= 0:
                return running or RpcReply("unavailable", retry_after=1)
            if not (admitted := breaker.admit()):
                return running or RpcReply("unavailable", retry_after=breaker.retry_after)
            reply = await self._once(request, breaker, admitted, left, within, budget)
            if reply.kind != "still_running":
                return reply
            running = reply
            if deadline - time.monotonic() <= ASK_AGAIN_SECONDS:
                return running
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    async def _once(
        self,
        request: RpcRequest,
        breaker: CircuitBreaker,
        admitted: Admitted,
        left: float,
        within: float,
        budget: float,
    ) -> RpcReply:
        correlation_id = str(next(self._numbers))
        future: asyncio.Future[RpcReply] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = future
        expires = min(max(0.05, within - budget - min(0.5, within / 10)), left)
        message = envelope.asked(
            request,
            self._name,
            reply_to=f"{self._bus.reply_queue}|{REPLIES}",
            correlation_id=correlation_id,
            expires=expires,
            budget=min(budget, left),
        )
        forget = None
        try:
            async with asyncio.timeout(left):
                on_return = partial(self._returned, correlation_id)
                forget = await self._bus.request(request.exchange, request.topic, message, on_return)
                reply = await future
        except BROKER_ERRORS:
            breaker.silence(admitted)
            return UNKNOWN
        except BaseException:
            breaker.not_asked(admitted)
            raise
        finally:
            del self._waiting[correlation_id]
            if forget is not None:
                forget()
        if reply.kind == "unavailable":
            breaker.not_asked(admitted)
        else:
            breaker.heard(admitted)
        return reply
