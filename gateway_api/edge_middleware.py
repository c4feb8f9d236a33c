"""The outermost middleware: metrics, spans, HEAD and OPTIONS, security headers, and a response to every exception."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import structlog
from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_api import metrics
from gateway_api.language import Language, preferred
from gateway_api.problems import Problem
from gateway_api.trace_context import SCOPE_KEY, header, traceparent
from workers.runtime.observability import tracing

log = structlog.get_logger()

_SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_DEFAULT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class EdgeMiddleware:
    """Pure ASGI, because every request passes it and `BaseHTTPMiddleware` costs a task for each.

    `routes` returns the routes of the app, from which OPTIONS and 405 learn the methods of a path.
    """

    def __init__(self, app: ASGIApp, routes: Callable[[], Iterable[BaseRoute]]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        span = _start_span(tracing.on, scope) if tracing.on is not None else None
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        status = 0

        async def send_response(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                headers.extend(_SECURITY_HEADERS)
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append(_DEFAULT_POLICY)
            elif method == "HEAD":
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            if method == "OPTIONS":
                await options(scope, self._routes())(scope, receive, send_response)
            else:
                await self._app(inner, receive, send_response)
        except Exception:
            trace_id = _trace_id(scope)
            log.exception("request_failed", trace_id=trace_id, route=_template(inner))
            if status:
                raise
            problem = Problem("internal_error", trace_id=trace_id)
            await problem.response(_language(scope))(scope, receive, send_response)
        finally:
            metrics.requests(_template(inner), method, status).observe(time.perf_counter() - started)
            if span is not None:
                _end_span(span, method, _template(inner), status)


def methods(scope: Scope, routes: Iterable[BaseRoute]) -> list[str]:
    """Return the methods that a path supports; empty when no route matches it."""
    supported: set[str] = set()
    for route in iter_route_contexts(list(routes)):
        if route.matches(scope)[0] is not Match.NONE:
            supported |= route.methods or {"GET"}
    if "GET" in supported:
        supported.add("HEAD")
    return sorted(supported | {"OPTIONS"}) if supported else []


def options(scope: Scope, routes: Iterable[BaseRoute]) -> Response:
    """Respond to OPTIONS with the methods of a path; needs no token."""
    allowed = methods(scope, routes)
    if not allowed:
        return Problem("not_found").response(_language(scope))
    return Response(status_code=204, headers={"allow": ", ".join(allowed)})


def _template(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _language(scope: Scope) -> Language:
    return preferred(header(scope, b"accept-language"))


def _trace_id(scope: Scope) -> str:
    """Return the id of the request's trace, or a random one, for the log and the `internal_error` response."""
    trace = traceparent(scope)
    return trace.split("-")[1] if trace else uuid4().hex


def _start_span(on: tracing.Tracing, scope: Scope) -> Any:
    """Start a server span below the caller's; None for probes and pages, which are not traced."""
    if not scope["path"].startswith("/v1/"):
        return None
    span = on.begin(metrics.NAME, scope["method"], "SERVER", traceparent(scope) or "")
    scope[SCOPE_KEY] = tracing.header_of(span)
    return span


def _end_span(span: Any, method: str, template: str, status: int) -> None:
    span.update_name(f"{method} {template}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", template)
    span.set_attribute("http.response.status_code", status)
    tracing.end(span, "unavailable" if status >= 500 else "done")
