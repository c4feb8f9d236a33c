"""An HTTP server in the test's own process whose next requests may fail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

Fault = Literal["lost", "unanswered", "rate_limited", "outage", "refused"]


@dataclass
class Faults:
    """The faults of the next requests, by a part of their method and path."""

    planned: list[tuple[str, Fault]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: requests that are lost for now go on and are carried out."""

    def plan(self, where: str, fault: Fault, times: int = 1) -> None:
        self.planned += [(where, fault)] * times

    def take(self, request: str) -> Fault | None:
        """The fault of a request, `POST /v1/refunds`; each is used once."""
        for number, (where, fault) in enumerate(self.planned):
            if where in request:
                del self.planned[number]
                return fault
        return None


Handler = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[Request], Response]


def application(handle: Handler, faults: Faults, refuse: Refusal) -> ASGIApp:
    """An application that carries requests out by `handle`, but for those with a fault."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        await request.body()
        match faults.take(f"{request.method} {request.url.path}"):
            case "lost":
                await faults.release.wait()
                response = await handle(request)
            case "unanswered":
                await handle(request)
                await faults.release.wait()
                response = Response(status_code=504)
            case "rate_limited":
                response = JSONResponse({"error": {"type": "rate_limit_error", "code": "rate_limit"}}, 429)
            case "outage":
                response = Response("upstream connect error", 503)
            case "refused":
                response = refuse(request)
            case _:
                response = await handle(request)
        await response(scope, receive, send)

    return app


@asynccontextmanager
async def served(app: ASGIApp, faults: Faults) -> AsyncIterator[str]:
    """Serve an application on a free port; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        faults.release.set()
        server.should_exit = True
        await running
        listener.close()
