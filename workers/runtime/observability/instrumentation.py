"""The metrics of a running context: counted as it works, or looked up when they are read."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache, partial
from typing import Any, Protocol

from prometheus_client import Counter

from contracts.outcomes import Outcome
from storage.database import Session
from storage.inbox import OutboxMessage
from workers.runtime.messaging.envelope import Envelope, RpcReply, RpcRequest
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.observability import metrics

INBOX_STATES = ("started", "waiting", "dead")


class _Result(Protocol):
    outcome: Outcome
    replayed: bool

    @property
    def label(self) -> str: ...


class _Worker(Protocol):
    gauges: list[Callable[[Session], Awaitable[None]]]


class _Database(Protocol):
    def session(self) -> AbstractAsyncContextManager[Session]: ...


class _Outbox(Protocol):
    on_committed: Callable[[OutboxMessage], None]


class Instrumented(Protocol):
    """What is read of a running context."""

    name: str
    rpc: RpcClient
    on_handled: Callable[[Envelope, Any, float], None]
    on_applied: Callable[[float], None]

    @property
    def worker(self) -> _Worker: ...

    @property
    def database(self) -> _Database: ...

    @property
    def outbox(self) -> _Outbox: ...

    @property
    def missing_queues(self) -> Sequence[str]: ...

    def readiness(self) -> dict[str, bool]: ...

    def problems(self) -> dict[str, str]: ...

    def view_lag(self) -> float | None: ...

    async def status(self) -> dict[str, Any]: ...


def instrument(runtime: Instrumented, bookings: Mapping[str, str]) -> None:
    """Count the work of a context; `bookings` gives the result of a booking by the topic of its event."""
    name = runtime.name
    runtime.on_handled = _handled(name)
    runtime.outbox.on_committed = _committed(name, bookings)
    runtime.rpc.on_outcome = _requested(name, runtime.rpc.on_outcome)
    if runtime.view_lag() is not None:
        runtime.on_applied = metrics.VIEW_LAG.labels(name).observe


def _handled(name: str) -> Callable[[Envelope, _Result, float], None]:
    took = metrics.HANDLING_SECONDS.labels(name)
    counter = lru_cache(1024)(metrics.HANDLED.labels)
    refusal = lru_cache(1024)(metrics.REFUSALS.labels)
    duplicate = lru_cache(1024)(metrics.DUPLICATES.labels)

    def handled(envelope: Envelope, result: _Result, seconds: float) -> None:
        counter(name, envelope.topic, result.label).inc()
        took.observe(seconds)
        if result.replayed:
            duplicate(name, envelope.topic).inc()
        elif result.outcome is Outcome.REFUSED:
            refusal(name, envelope.topic, result.label).inc()

    return handled


def _committed(name: str, bookings: Mapping[str, str]) -> Callable[[OutboxMessage], None]:
    @lru_cache(1024)
    def counters(topic: str) -> tuple[Counter, ...]:
        result = bookings.get(topic)
        booked = (metrics.BOOKINGS.labels(name, result),) if result else ()
        return (metrics.PUBLISHED.labels(name, topic), *booked)

    def committed(row: OutboxMessage) -> None:
        for counter in counters(row.topic):
            counter.inc()

    return committed


def _requested(
    name: str, report: Callable[[RpcRequest, RpcReply, float], None]
) -> Callable[[RpcRequest, RpcReply, float], None]:
    took = lru_cache(64)(partial(metrics.REQUEST_SECONDS.labels, name))
    counter = lru_cache(256)(partial(metrics.REQUESTS.labels, name))

    def requested(request: RpcRequest, reply: RpcReply, seconds: float) -> None:
        callee = request.callee
        counter(callee, str(reply.kind)).inc()
        took(callee).observe(seconds)
        report(request, reply, seconds)

    return requested


async def set_gauges(runtime: Instrumented) -> None:
    """Look up what is not counted: circuit breakers, queues, and rows in the database."""
    name, lag = runtime.name, runtime.view_lag()
    metrics.READY.labels(name).set(all(runtime.readiness().values()))
    metrics.MISSING.labels(name).set(len(runtime.missing_queues))
    for callee, breaker in runtime.rpc.breakers.items():
        metrics.gauge_breaker(name, callee, breaker.state)
    if lag is not None:
        metrics.VIEW_BEHIND.labels(name).set(lag)
        return
    with contextlib.suppress(Exception):  # the database is unavailable: the other figures still count
        await _count_rows(runtime)


async def _count_rows(runtime: Instrumented) -> None:
    name, status = runtime.name, await runtime.status()
    metrics.OUTBOX.labels(name).set(status["outbox"])
    metrics.OUTBOX_AGE.labels(name).set(status["outbox_age"])
    metrics.TIMERS_DUE.labels(name).set(status["due"])
    metrics.TIMERS_LATE.labels(name).set(status["due_age"])
    for state in INBOX_STATES:
        metrics.INBOX.labels(name, state).set(status[state])
    for reader in runtime.worker.gauges:
        async with runtime.database.session() as session:
            await reader(session)
