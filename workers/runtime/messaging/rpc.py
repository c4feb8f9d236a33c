"""Requests to other contexts: a query or a command over a queue, with four outcomes and never fewer.

done         a reply came
refused      a reply that says no, with a reason
unavailable  certainly not begun: no consumer, backlog too long, circuit open, connection lost, unroutable
unknown      published, and no reply in time: whatever may have happened must be undone or found out
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage

from contracts.outcomes import REPLIES, Outcome
from workers.runtime.messaging import bus as buses
from workers.runtime.messaging import envelope
from workers.runtime.messaging.breaker import Admitted, CircuitBreaker
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus
from workers.runtime.observability import tracing
from workers.runtime.settings import Settings

REPEAT_SECONDS = 0.1
"""Between two requests for the same work while it is still running."""
INSPECTION_SECONDS = 0.25
"""How long the result of looking at a queue is used."""


@dataclass(slots=True)
class RpcRequest:
    """A message with what travels beside it; the same `message_id` again is the same request."""

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
        """The context that replies."""
        return self.topic.rpartition(".")[0]

    @property
    def queue(self) -> str:
        return f"{self.topic}@{self.callee}"


@dataclass(slots=True)
class RpcReply:
    """How a request ended."""

    kind: Outcome
    body: bytes = b""
    """done: the reply's JSON; refused: `{"code": ...}` and details."""
    replayed: bool = False
    """The stored answer of an earlier try with the same message id."""
    retry_after: int | None = None
    """Whole seconds, with `unavailable`."""


UNKNOWN = RpcReply(Outcome.UNKNOWN)


class QueueAvailability:
    """Whether a queue is served: looked at again once the last result is older than a quarter of a second."""

    def __init__(self, bus: Bus, queue: str, limit: int) -> None:
        self._bus = bus
        self._queue = queue
        self._limit = limit
        self._served = False
        self._inspected_at = float("-inf")
        self._inspection: asyncio.Task[None] | None = None

    async def check(self) -> bool:
        """True while the queue has a consumer and a backlog that can be served in time."""
        if time.monotonic() - self._inspected_at > INSPECTION_SECONDS:
            if self._inspection is None or self._inspection.done():
                self._inspection = asyncio.create_task(self._inspect())
            await asyncio.shield(self._inspection)
        return self._served

    async def _inspect(self) -> None:
        try:
            found = await self._bus.inspect_queue(self._queue)
        except BROKER_ERRORS:
            found = None
        self._served = found is not None and found[1] > 0 and found[0] < self._limit
        self._inspected_at = time.monotonic()


class RpcClient:
    """Sends requests over one reply queue, any number at a time."""

    def __init__(self, bus: Bus, name: str, settings: Settings) -> None:
        self._bus = bus
        self._name = name
        self._settings = settings
        self._numbers = count(1)
        self._waiting: dict[str, asyncio.Future[RpcReply]] = {}
        self._queues: dict[str, QueueAvailability] = {}
        self.breakers: dict[str, CircuitBreaker] = {}
        self.on_outcome: Callable[[RpcRequest, RpcReply, float], None] = lambda request, reply, took: None

    async def start(self) -> None:
        """Receive replies; the bus must have been started."""
        self._bus.on_reply = self._replied
        self._bus.on_lost = self._lost

    async def stop(self) -> None:
        for future in self._waiting.values():
            future.cancel()

    def _replied(self, message: AbstractIncomingMessage) -> None:
        future = self._waiting.get(message.correlation_id or "")
        if future is None or future.done():
            return
        kind = Outcome(message.type) if message.type in REPLIES else Outcome.UNKNOWN
        future.set_result(
            RpcReply(
                kind, message.body, bool(message.headers.get("replayed")), 1 if kind is Outcome.UNAVAILABLE else None
            )
        )

    def _returned(self, correlation_id: str) -> None:
        future = self._waiting.get(correlation_id)
        if future is not None and not future.done():
            future.set_result(RpcReply(Outcome.UNAVAILABLE, retry_after=2))

    def _lost(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the connection was lost while a reply was awaited"))

    def breaker(self, callee: str) -> CircuitBreaker:
        """The breaker that guards a context."""
        if callee not in self.breakers:
            self.breakers[callee] = CircuitBreaker(self._settings.breaker_rest_seconds)
        return self.breakers[callee]

    def _queue(self, queue: str) -> QueueAvailability:
        if queue not in self._queues:
            self._queues[queue] = QueueAvailability(self._bus, queue, self._settings.backlog_limit)
        return self._queues[queue]

    async def check(self, callee: str, queue: str) -> RpcReply | None:
        """The reply that a request would get at once, None when it would be sent."""
        breaker = self.breaker(callee)
        if breaker.is_open():
            return RpcReply(Outcome.UNAVAILABLE, retry_after=breaker.retry_after)
        if not self._bus.connected or not await self._queue(queue).check():
            return RpcReply(Outcome.UNAVAILABLE, retry_after=2)
        return None

    async def call(self, request: RpcRequest, *, within: float, budget: float) -> RpcReply:
        """Request, and ask again while the same request is at work; `within` and `budget` in seconds."""
        started = time.monotonic()
        span = tracing.send(tracing.on, request, self._name) if tracing.on is not None else None
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
            if refusal := await self.check(request.callee, request.queue):
                return running or refusal
            left = deadline - time.monotonic()
            if left <= 0:
                return running or RpcReply(Outcome.UNAVAILABLE, retry_after=1)
            if not (admitted := breaker.admit()):
                return running or RpcReply(Outcome.UNAVAILABLE, retry_after=breaker.retry_after)
            reply = await self._once(request, breaker, admitted, left, within, budget)
            if reply.kind is not Outcome.STILL_RUNNING:
                return reply
            running = reply
            if deadline - time.monotonic() <= REPEAT_SECONDS:
                return running
            await asyncio.sleep(REPEAT_SECONDS)

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
        message = envelope.request(
            request,
            self._name,
            reply_to=f"{self._bus.reply_queue}|{buses.REPLIES}",
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
            breaker.timed_out(admitted)
            return UNKNOWN
        except BaseException:
            breaker.not_sent(admitted)
            raise
        finally:
            del self._waiting[correlation_id]
            if forget is not None:
                forget()
        if reply.kind is Outcome.UNAVAILABLE:
            breaker.not_sent(admitted)
        else:
            breaker.replied(admitted)
        return reply
