"""The door, put together: every system's routes, the pages for people, and what probes look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from gateway_api import (
    bike_sharing,
    cafe,
    console,
    operations,
    pages,
    payments,
    preorder,
    shop,
    ticketing,
    video_rental,
)
from gateway_api.edge_middleware import EdgeMiddleware, methods
from gateway_api.gateway import Asks, Gateway, Route, Routes
from gateway_api.language import preferred
from gateway_api.openapi import described
from gateway_api.problems import Problem
from gateway_api.tokens import Verifier
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.settings import Settings

log = structlog.get_logger()

SYSTEMS: list[Routes] = [
    video_rental.routes,
    ticketing.routes,
    bike_sharing.routes,
    shop.routes,
    cafe.routes,
    preorder.routes,
    payments.routes,
    operations.routes,
]
"""The routes of the system, in the order of its pages."""

CONNECT_AGAIN_SECONDS = 0.5
LEAVE_SECONDS = 2.0
"""For a connection that is just being opened: cancelled half-way it leaves a task behind that never ends."""


class State:
    """Whether this gateway can serve."""

    def __init__(self, door: Gateway, bus: Bus | None = None) -> None:
        self.door = door
        self.bus = bus
        self.draining = False
        self.closed = False
        self.console: console.Console | None = None

    def parts(self) -> dict[str, bool]:
        published = self.door.verifier.published
        return {
            "broker": self.bus is None or self.bus.connected,
            "keys": published is None or published.known,
            "accepting": not self.draining,
        }

    def breakers(self) -> dict[str, str]:
        """The rpc's breakers, `closed`, `open` or `half_open`, by context."""
        known = getattr(self.door.rpc, "breakers", {})
        return {context: breaker.state for context, breaker in sorted(known.items())}


def build(rpc: Asks, settings: Settings, *, bus: Bus | None = None, verifier: Verifier | None = None) -> Starlette:
    """The gateway over an asking client; `bus` is what `/ready` looks at, and is started and stopped with the app."""
    door = Gateway(rpc, settings, verifier)
    state = State(door, bus)
    app = Starlette(
        middleware=_middleware(settings, lambda: app.routes),
        exception_handlers={HTTPException: _http_problem},
        lifespan=_lifespan(state),
    )
    app.router.redirect_slashes = False
    app.state.gateway = state
    for route in all_routes():
        app.add_route(
            route.path,
            door.endpoint(route),
            methods=[route.method],
            name=route.handler.__name__,
            include_in_schema=False,
        )
    pages.add_to(app, state, described(tuple(all_routes())), settings.health_port)
    state.console = console.add_to(
        app, door, settings, is_over=lambda: state.draining or state.closed, breakers=state.breakers
    )
    return app


def all_routes() -> list[Route]:
    return [route for system in SYSTEMS for route in system.table]


def _middleware(settings: Settings, routes: Callable[[], list[Any]]) -> list[Middleware]:
    layers = [Middleware(EdgeMiddleware, routes=routes)]
    if settings.gateway_cors_origins:
        origins = Middleware(
            CORSMiddleware,
            allow_origins=settings.gateway_cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Accept-Language", "Traceparent"],
            expose_headers=["Location", "Retry-After", "Idempotency-Replayed", "Content-Language"],
            max_age=600,
        )
        layers.insert(0, origins)
    return layers


async def _http_problem(request: Request, error: Exception) -> Response:
    """What the router refuses: no such path, no such method; people read on a page that there is nothing."""
    assert isinstance(error, HTTPException)
    state: State = request.app.state.gateway
    if state.console is not None and error.status_code == 404 and _is_persons(request):
        return await state.console.lost(request)
    language = preferred(request.headers.get("accept-language", ""))
    if error.status_code == 405:
        allowed = ", ".join(methods(request.scope, request.app.routes))
        return Problem("method_not_allowed", headers={"allow": allowed}).response(language)
    return Problem("not_found" if error.status_code == 404 else "invalid").response(language)


def _is_persons(request: Request) -> bool:
    """Somebody at a browser came to a path that is none of the API's."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")


def _lifespan(state: State) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        coming = asyncio.create_task(_connect(state))
        try:
            yield
        finally:
            state.closed = True
            if state.console is not None:
                await state.console.live.stop()
            await asyncio.wait({coming}, timeout=LEAVE_SECONDS)
            coming.cancel()
            if isinstance(state.door.rpc, RpcClient):
                await state.door.rpc.stop()
            if state.bus is not None:
                await state.bus.stop()

    return lifespan


async def _connect(state: State) -> None:
    """Fetch the issuer's keys and reach the broker, however long it takes; until then `/ready` says no."""
    if state.door.verifier.published is not None:
        await state.door.verifier.published.refresh()
    told = ""
    while state.bus is not None and not state.closed:
        try:
            await state.bus.start()
            if isinstance(state.door.rpc, RpcClient):
                await state.door.rpc.start()
            return
        except (*BROKER_ERRORS, OSError) as error:
            if told != (told := type(error).__name__):
                log.warning("the broker cannot be reached yet", error=told)
            await state.bus.stop()
            await asyncio.sleep(CONNECT_AGAIN_SECONDS)
