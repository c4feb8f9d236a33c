"""The gateway application: the routes of every business, the console, probes and API documents."""

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
    metrics,
    operations,
    pages,
    payments,
    preorder,
    shop,
    ticketing,
    video_rental,
)
from gateway_api.edge_middleware import EdgeMiddleware, methods
from gateway_api.gateway import Gateway, RequestClient, Route, Routes
from gateway_api.language import preferred
from gateway_api.openapi import openapi_document
from gateway_api.problems import Problem
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import Verifier
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS

log = structlog.get_logger()

ROUTES: list[Routes] = [
    video_rental.routes,
    ticketing.routes,
    bike_sharing.routes,
    shop.routes,
    cafe.routes,
    preorder.routes,
    payments.routes,
    operations.routes,
]
"""All routes, in the order in which the API documents show them."""

RECONNECT_SECONDS = 0.5
STOP_SECONDS = 2.0
"""How long to wait for a connection that is being opened: to cancel that leaves a task that never ends."""


class GatewayState:
    """The parts of a running gateway, and whether it can serve."""

    def __init__(self, gateway: Gateway, broker: Broker | None = None) -> None:
        self.gateway = gateway
        self.broker = broker
        self.draining = False
        self.closed = False
        self.console: console.Console | None = None

    def readiness(self) -> dict[str, bool]:
        """Return whether each part is ready; the gateway is ready when all are."""
        keys = self.gateway.verifier.published_keys
        return {
            "broker": self.broker is None or self.broker.is_usable,
            "keys": keys is None or keys.available,
            "accepting": not self.draining,
        }

    def breakers(self) -> dict[str, str]:
        """Return the states of the circuit breakers by context: `closed`, `open` or `half_open`."""
        return {context: breaker.state for context, breaker in sorted(self._breakers().items())}

    def update_gauges(self) -> None:
        """Set the gauges before the metrics are read."""
        metrics.update_gauges(
            ready=all(self.readiness().values()),
            breakers=self._breakers(),
            in_flight=self.gateway.bulkheads.in_flight,
        )

    def _breakers(self) -> dict[str, Any]:
        breakers: dict[str, Any] = getattr(self.gateway.rpc, "breakers", {})
        return breakers


def build(
    rpc: RequestClient, settings: GatewaySettings, *, broker: Broker | None = None, verifier: Verifier | None = None
) -> Starlette:
    """Build the application over a request client.

    `broker` is connected and stopped with the application, and `/ready` reports it; None in tests without one.
    """
    gateway = Gateway(rpc, settings, verifier)
    state = GatewayState(gateway, broker)
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
            gateway.endpoint(route),
            methods=[route.method],
            name=route.handler.__name__,
            include_in_schema=False,
        )
    pages.add_to(app, state, openapi_document(tuple(all_routes())), settings.health_port)
    state.console = console.add_to(
        app,
        gateway,
        settings,
        is_closing=lambda: state.draining or state.closed,
        breakers=state.breakers,
        broker=broker,
    )
    return app


def all_routes() -> list[Route]:
    """Return every route of the API."""
    return [route for routes in ROUTES for route in routes.table]


def _middleware(settings: GatewaySettings, routes: Callable[[], list[Any]]) -> list[Middleware]:
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
    """Respond to an unknown path or method; a browser gets a page of the console for an unknown path."""
    assert isinstance(error, HTTPException)
    state: GatewayState = request.app.state.gateway
    if state.console is not None and error.status_code == 404 and _wants_page(request):
        return await state.console.not_found(request)
    language = preferred(request.headers.get("accept-language", ""))
    if error.status_code == 405:
        allowed = ", ".join(methods(request.scope, request.app.routes))
        return Problem("method_not_allowed", headers={"allow": allowed}).response(language)
    return Problem("not_found" if error.status_code == 404 else "invalid").response(language)


def _wants_page(request: Request) -> bool:
    """Whether a browser requests a path outside the API."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")


def _lifespan(state: GatewayState) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        connecting = asyncio.create_task(_connect(state))
        if state.console is not None:
            state.console.start()
        try:
            yield
        finally:
            state.closed = True
            if state.console is not None:
                await state.console.stop()
            await asyncio.wait({connecting}, timeout=STOP_SECONDS)
            connecting.cancel()
            if state.broker is not None:
                await state.broker.stop()

    return lifespan


async def _connect(state: GatewayState) -> None:
    """Fetch the issuer's keys and connect to the broker, with retries; until then `/ready` responds 503."""
    if state.gateway.verifier.published_keys is not None:
        await state.gateway.verifier.published_keys.refresh()
    last_error = ""
    while state.broker is not None and not state.closed:
        try:
            await state.broker.connect()
            return
        except (*BROKER_ERRORS, OSError) as error:
            if last_error != (last_error := type(error).__name__):
                log.warning("broker_unavailable", error=last_error)
            await asyncio.sleep(RECONNECT_SECONDS)
