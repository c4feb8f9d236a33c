"""What a running context counts as it works, and what is looked up when somebody reads the figures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

from prometheus_client import Counter

from storage.inbox import OutboxMessage
from workers.runtime.messaging.envelope import Envelope
from workers.runtime.messaging.rpc import RpcReply, RpcRequest
from workers.runtime.observability import metrics
from workers.runtime.processing.processor import ProcessingResult
from workers.runtime.processing.worker_runtime import WorkerRuntime
from workers.runtime.projections.view import ViewRuntime

INBOX_STATES = ("started", "waiting", "dead")


def count(context: WorkerRuntime, bookings: Mapping[str, str]) -> None:
    """Count a context's work; `bookings` says what became of a booking when an event of that topic is said."""
    name = context.name
    context.on_handled = _handled(name)
    context.outbox.on_told = _told(name, bookings)
    context.rpc.on_outcome = _asked(name, context.rpc.on_outcome)
    if isinstance(context, ViewRuntime):
        context.on_applied = metrics.VIEW_LAG.labels(name).observe


def _handled(name: str) -> Any:
    took = metrics.TOOK.labels(name)
    counter = lru_cache(1024)(metrics.HANDLED.labels)
    refusal = lru_cache(1024)(metrics.REFUSALS.labels)
    duplicate = lru_cache(1024)(metrics.DUPLICATES.labels)

    def handled(envelope: Envelope, verdict: ProcessingResult, seconds: float) -> None:
        counter(name, envelope.topic, verdict.outcome).inc()
        took.observe(seconds)
        if verdict.replayed:
            duplicate(name, envelope.topic).inc()
        elif verdict.kind == "refused":
            refusal(name, envelope.topic, verdict.outcome).inc()

    return handled


def _told(name: str, bookings: Mapping[str, str]) -> Any:
    @lru_cache(1024)
    def counters(topic: str) -> tuple[Counter, ...]:
        became = bookings.get(topic)
        booked = (metrics.BOOKINGS.labels(name, became),) if became else ()
        return (metrics.TOLD.labels(name, topic), *booked)

    def told(row: OutboxMessage) -> None:
        for counter in counters(row.topic):
            counter.inc()

    return told


def _asked(name: str, report: Any) -> Any:
    took = lru_cache(64)(partial(metrics.ASK_TOOK.labels, name))
    counter = lru_cache(256)(partial(metrics.ASKED.labels, name))

    def asked(request: RpcRequest, reply: RpcReply, seconds: float) -> None:
        callee = request.callee
        counter(callee, reply.kind).inc()
        took(callee).observe(seconds)
        report(request, reply, seconds)

    return asked


async def gauge(context: WorkerRuntime) -> None:
    """Look up what is not counted: breakers, queues, and what lies in the database."""
    name = context.name
    metrics.READY.labels(name).set(all(context.readiness().values()))
    metrics.MISSING.labels(name).set(len(context.consumers.missing))
    metrics.gauge_breakers(name, context.rpc.breakers)
    if isinstance(context, ViewRuntime):
        metrics.VIEW_BEHIND.labels(name).set(context.behind())
        return
    with contextlib.suppress(Exception):  # the database is away: the other figures still count
        await _gauge_rows(context)


async def _gauge_rows(context: WorkerRuntime) -> None:
    name, standing = context.name, await context.status()
    metrics.OUTBOX.labels(name).set(standing["outbox"])
    metrics.OUTBOX_AGE.labels(name).set(standing["outbox_age"])
    metrics.TIMERS_DUE.labels(name).set(standing["due"])
    metrics.TIMERS_LATE.labels(name).set(standing["due_age"])
    for state in INBOX_STATES:
        metrics.INBOX.labels(name, state).set(standing[state])
    for look in context.worker.gauges:
        async with context.database.session() as session:
            await look(session)
