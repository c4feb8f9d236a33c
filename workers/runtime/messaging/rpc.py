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
from itertools import count
from typing import Any

import structlog
from faststream.exceptions import SubscriberNotFound

from contracts.outcomes import Outcome
from workers.runtime.messaging import envelope
from workers.runtime.messaging.breaker import Admitted, CircuitBreaker
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import RpcReply, RpcRequest
from workers.runtime.messaging.errors import BROKER_ERRORS, BrokerUnavailable, Unroutable
from workers.runtime.observability import tracing
from workers.runtime.observability.log_events import CIRCUIT_CLOSED, CIRCUIT_OPENED, NO_CONSUMER, REQUEST_TIMED_OUT
from workers.runtime.settings import Settings

log = structlog.get_logger()

REPEAT_SECONDS = 0.1
"""Between two requests for the same work while it is still running."""
INSPECTION_SECONDS = 0.25
"""How long the result of looking at a queue is used."""
LEAST_WORK_SECONDS = 0.05
"""The shortest time in which a request can be handled: one that waited so long that less is left is dropped."""


__all__ = ["QueueAvailability", "RpcClient", "RpcReply", "RpcRequest"]

UNKNOWN = RpcReply(Outcome.UNKNOWN)


class QueueAvailability:
    """Whether a queue is served: looked at again once the last result is older than a quarter of a second."""

    def __init__(self, broker: Broker, queue: str, limit: int) -> None:
        self._broker = broker
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
            found = await self._broker.inspect_queue(self._queue)
        except BROKER_ERRORS:
            found = None
        served = found is not None and found[1] > 0 and found[0] < self._limit
        if self._served and not served:
            log.warning(NO_CONSUMER, queue=self._queue, found=found)
        self._served = served
        self._inspected_at = time.monotonic()


class RpcClient:
    """Sends requests by a broker, any number at a time."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._numbers = count(1)
        self._queues: dict[str, QueueAvailability] = {}
        self.breakers: dict[str, CircuitBreaker] = {}
        self.on_outcome: Callable[[RpcRequest, RpcReply, float], None] = lambda request, reply, took: None

    def breaker(self, callee: str) -> CircuitBreaker:
        """The circuit breaker that guards a context."""
        if callee not in self.breakers:
            self.breakers[callee] = CircuitBreaker(self._settings.breaker_open_seconds)
        return self.breakers[callee]

    def _queue(self, queue: str) -> QueueAvailability:
        if queue not in self._queues:
            self._queues[queue] = QueueAvailability(self._broker, queue, self._settings.backlog_limit)
        return self._queues[queue]

    async def check(self, callee: str, queue: str) -> RpcReply | None:
        """The reply that a request would get at once, None when it would be sent."""
        breaker = self.breaker(callee)
        if breaker.is_open():
            return RpcReply(Outcome.UNAVAILABLE, retry_after=breaker.retry_after)
        if not self._broker.is_usable or not await self._queue(queue).check():
            return RpcReply(Outcome.UNAVAILABLE, retry_after=2)
        return None

    async def call(self, request: RpcRequest, *, within: float) -> RpcReply:
        """Send a request, and repeat it while the same work is still running; `within` in seconds."""
        started = time.monotonic()
        span = tracing.send(tracing.on, request, self._broker.name) if tracing.on is not None else None
        reply = UNKNOWN
        try:
            reply = await self._call(request, started + within)
        finally:
            if span is not None:
                tracing.end(span, reply.kind)
        self.on_outcome(request, reply, time.monotonic() - started)
        return reply

    async def _call(self, request: RpcRequest, deadline: float) -> RpcReply:
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
            reply = await self._once(request, breaker, admitted, left)
            if reply.kind is not Outcome.STILL_RUNNING:
                return reply
            running = reply
            if deadline - time.monotonic() <= REPEAT_SECONDS:
                return running
            await asyncio.sleep(REPEAT_SECONDS)

    async def _once(self, request: RpcRequest, breaker: CircuitBreaker, admitted: Admitted, left: float) -> RpcReply:
        try:
            message: Any = await self._broker.request(
                request.body,
                routing_key=request.topic,
                exchange=envelope.exchange(request.exchange),
                timeout=left,
                correlation_id=str(next(self._numbers)),
                headers=envelope.request_headers(request, left),
                expiration=max(LEAST_WORK_SECONDS, left - LEAST_WORK_SECONDS),
                message_id=str(request.message_id),
                message_type=request.topic,
            )
        except (Unroutable, BrokerUnavailable, SubscriberNotFound):
            breaker.not_sent(admitted)
            return RpcReply(Outcome.UNAVAILABLE, retry_after=2)
        except TimeoutError:
            log.warning(REQUEST_TIMED_OUT, queue=request.queue, deadline_ms=round(left * 1000))
            self._timed_out(request.callee, breaker, admitted)
            return UNKNOWN
        except BROKER_ERRORS:  # our own connection was lost, which says nothing about the callee
            breaker.not_sent(admitted)
            return UNKNOWN
        except BaseException:
            breaker.not_sent(admitted)
            raise
        reply = envelope.read_reply(message.raw_message)
        if reply.kind is Outcome.UNAVAILABLE:
            breaker.not_sent(admitted)
        else:
            self._replied(request.callee, breaker, admitted)
        return reply

    @staticmethod
    def _timed_out(callee: str, breaker: CircuitBreaker, admitted: Admitted) -> None:
        before = breaker.state
        breaker.timed_out(admitted)
        if before == "closed" and breaker.state == "open":
            log.error(CIRCUIT_OPENED, callee=callee)

    @staticmethod
    def _replied(callee: str, breaker: CircuitBreaker, admitted: Admitted) -> None:
        breaker.replied(admitted)
        if admitted.probe:
            log.info(CIRCUIT_CLOSED, callee=callee)
