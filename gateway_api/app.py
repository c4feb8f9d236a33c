"""The gateway application: the routes of every business, the console, probes and API documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from contracts.systems import modules_of
from gateway_api import bodies, console, metrics, operations, pages, payment_webhooks, payments
from gateway_api.edge_middleware import EdgeMiddleware, methods
from gateway_api.gateway import Gateway, RequestClient
from gateway_api.language import preferred
from gateway_api.openapi import DESCRIPTION, DocumentedApi
from gateway_api.path_segments import EncodedSlashes
from gateway_api.problems import Problem
from gateway_api.routing import GatewayRoute
from gateway_api.settings import GatewaySettings
from gateway_api.tokens import Verifier
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS

log = structlog.get_logger()

MODULES = [*modules_of("gateway_api"), payments, operations]
ROUTERS: list[APIRouter] = [module.router for module in MODULES]
"""The routers of all systems, in the order in which the API documents show them."""

TAGS = [{"name": module.router.tags[0], "description": module.DESCRIPTION} for module in MODULES]

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
) -> FastAPI:
    """Build the application over a request client.

    `broker` is connected and stopped with the application, and `/ready` reports it; None in tests without one.
    """
    gateway = Gateway(rpc, settings, verifier)
    state = GatewayState(gateway, broker)
    app = DocumentedApi(
        title="Yeyak",
        version="1",
        description=DESCRIPTION,
        contact={"name": "The operators of Yeyak"},
        license_info={"name": "All rights reserved", "identifier": "LicenseRef-All-rights-reserved"},
        servers=[{"url": "/"}],
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        generate_unique_id_function=lambda route: route.name,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        middleware=_middleware(settings, lambda: app.routes),
        exception_handlers={
            Problem: _problem,
            RequestValidationError: _invalid,
            HTTPException: _http_problem,
            ClientDisconnect: _disconnected,
        },
        lifespan=_lifespan(state),
    )
    app.state.gateway = state
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(payment_webhooks.router)
    pages.add_to(app, state, settings.health_port)
    state.console = console.add_to(
        app,
        gateway,
        settings,
        is_closing=lambda: state.draining or state.closed,
        breakers=state.breakers,
        broker=broker,
    )
    return app


def all_routes() -> list[GatewayRoute]:
    """Return every route of the API."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, GatewayRoute)]


def _middleware(settings: GatewaySettings, routes: Callable[[], list[Any]]) -> list[Middleware]:
    layers = [Middleware(EncodedSlashes), Middleware(EdgeMiddleware, routes=routes)]
    if settings.gateway_cors_origins:
        origins = Middleware(
            CORSMiddleware,
            allow_origins=settings.gateway_cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "Accept-Language",
                "Traceparent",
            ],
            expose_headers=["Location", "Retry-After", "Idempotency-Replayed", "Content-Language"],
            max_age=600,
        )
        layers.insert(0, origins)
    return layers


async def _problem(request: Request, error: Exception) -> Response:
    """Respond with a problem in the caller's language."""
    assert isinstance(error, Problem)
    metrics.REFUSALS.labels(getattr(request.scope.get("route"), "path", "unmatched"), error.code).inc()
    return error.response(preferred(request.headers.get("accept-language", "")))


async def _invalid(request: Request, error: Exception) -> Response:
    """Respond to parameters that FastAPI refused: an impossible id is `not_found`, where everything else is right."""
    assert isinstance(error, RequestValidationError)
    errors = [{**detail, "loc": detail["loc"][1:]} for detail in error.errors() if detail["loc"][0] != "path"]
    if errors:
        return await _problem(request, bodies.from_error_details(errors))
    return await _problem(request, Problem("not_found"))


async def _disconnected(request: Request, error: Exception) -> Response:
    """Nobody receives this."""
    return Response(status_code=400)


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


def _lifespan(state: GatewayState) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
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
