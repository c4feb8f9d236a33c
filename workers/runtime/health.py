"""`/live`, `/ready` and `/metrics` of a process of workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from workers.runtime import telemetry
from workers.runtime.context import Context
from workers.runtime.settings import Settings


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(contexts: list[Context], settings: Settings, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve while the contexts run; on port 0 nothing is served. If the server ends, so does the process."""
    for context in contexts:
        _count(context)
    if settings.health_port == 0:
        yield
        return
    config = uvicorn.Config(
        _application(contexts, stop),
        host=settings.health_host,
        port=settings.health_port,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    task.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        server.should_exit = True
        with contextlib.suppress(SystemExit):
            await task


def _count(context: Context) -> None:
    name = context.name
    took = telemetry.TOOK.labels(name)

    @lru_cache(1024)
    def counter(topic: str, outcome: str) -> Any:
        return telemetry.HANDLED.labels(name, topic, outcome)

    def handled(envelope: Any, verdict: Any, seconds: float) -> None:
        counter(envelope.topic, verdict.outcome).inc()
        took.observe(seconds)

    context.on_handled = handled
    report = context.asker.on_outcome

    def asked(request: Any, reply: Any, seconds: float) -> None:
        telemetry.ASKED.labels(name, request.callee, reply.kind).inc()
        report(request, reply, seconds)

    context.asker.on_outcome = asked


def _application(contexts: list[Context], stop: asyncio.Event) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/metrics":
            await _gauge(contexts)
            await _respond(send, 200, generate_latest(), CONTENT_TYPE_LATEST)
        elif scope["path"] == "/live":
            await _respond(send, 200, b'{"live": true}', "application/json")
        elif scope["path"] == "/ready":
            parts = {context.name: context.readiness() for context in contexts}
            ready = not stop.is_set() and all(all(part.values()) for part in parts.values())
            body: dict[str, Any] = {"ready": ready, "contexts": parts, "breakers": _breakers(contexts)}
            await _respond(send, 200 if ready else 503, json.dumps(body).encode(), "application/json")
        else:
            await _respond(send, 404, b"{}", "application/json")

    return application


def _breakers(contexts: list[Context]) -> dict[str, dict[str, str]]:
    return {
        context.name: {callee: breaker.state for callee, breaker in context.asker.breakers.items()}
        for context in contexts
    }


async def _gauge(contexts: list[Context]) -> None:
    for context in contexts:
        telemetry.MISSING.labels(context.name).set(len(context.hearing.missing))
        for callee, breaker in context.asker.breakers.items():
            telemetry.BREAKER.labels(context.name, callee).set(breaker.state != "closed")
        with contextlib.suppress(Exception):  # the database is away: the other figures still count
            standing = await context.standing()
            telemetry.OUTBOX.labels(context.name).set(standing["outbox"])
            telemetry.OUTBOX_AGE.labels(context.name).set(standing["outbox_age"])
            for state in ("started", "waiting", "dead"):
                telemetry.INBOX.labels(context.name, state).set(standing[state])


async def _respond(send: Any, status: int, body: bytes, kind: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
