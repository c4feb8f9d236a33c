"""`/live`, `/ready` and `/metrics` of a process of workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from workers.runtime.observability import instrumentation
from workers.runtime.observability.instrumentation import Instrumented
from workers.runtime.settings import Settings


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(
    contexts: Sequence[Instrumented], settings: Settings, stop: asyncio.Event, bookings: Mapping[str, str]
) -> AsyncIterator[None]:
    """Serve while the contexts run; on port 0 nothing is served. If the server ends, so does the process."""
    for context in contexts:
        instrumentation.instrument(context, bookings)
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


def _application(contexts: Sequence[Instrumented], stop: asyncio.Event) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/metrics":
            await asyncio.gather(*map(instrumentation.set_gauges, contexts))
            await _respond(send, 200, generate_latest(), CONTENT_TYPE_LATEST)
        elif scope["path"] == "/live":
            await _respond(send, 200, b'{"live": true}', "application/json")
        elif scope["path"] == "/ready":
            parts = {context.name: context.readiness() for context in contexts}
            ready = not stop.is_set() and all(all(part.values()) for part in parts.values())
            body: dict[str, Any] = {
                "ready": ready,
                "contexts": parts,
                "problems": {context.name: found for context in contexts if (found := context.problems())},
                "breakers": _breakers(contexts),
            }
            await _respond(send, 200 if ready else 503, json.dumps(body).encode(), "application/json")
        else:
            await _respond(send, 404, b"{}", "application/json")

    return application


def _breakers(contexts: Sequence[Instrumented]) -> dict[str, dict[str, str]]:
    return {
        context.name: {callee: breaker.state for callee, breaker in context.rpc.breakers.items()}
        for context in contexts
    }


async def _respond(send: Any, status: int, body: bytes, kind: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
