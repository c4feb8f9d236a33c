"""The outermost layer: counts, HEAD and OPTIONS, headers for the browser's safety, and no error without an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import structlog
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway_api import metrics
from gateway_api.language import Language, preferred
from gateway_api.problems import Problem
from workers.runtime.observability import tracing

log = structlog.get_logger()

_SAFE = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class EdgeMiddleware:
    """Pure ASGI, because it stands before every request."""

    def __init__(self, app: ASGIApp, routes: Callable[[], Iterable[BaseRoute]]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        span = _begin(tracing.on, scope) if tracing.on is not None else None
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                headers.extend(_SAFE)
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append(_POLICY)
            elif method == "HEAD":
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        try:
            if method == "OPTIONS":
                await options(scope, self._routes())(scope, receive, answer)
            else:
                await self._app(inner, receive, answer)
        except Exception:
            trace_id = _trace_id(scope)
            log.exception("a request failed", trace_id=trace_id, route=_template(inner))
            if status:
                raise
            problem = Problem("internal_error", trace_id=trace_id)
            await problem.response(_language(scope))(scope, receive, answer)
        finally:
            metrics.requests(_template(inner), method, status).observe(time.perf_counter() - started)
            if span is not None:
                _end(span, method, _template(inner), status)


def methods(scope: Scope, routes: Iterable[BaseRoute]) -> list[str]:
    """What a path can do; empty when there is no such path."""
    found: set[str] = set()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or {"GET"}
    if "GET" in found:
        found.add("HEAD")
    return sorted(found | {"OPTIONS"}) if found else []


def options(scope: Scope, routes: Iterable[BaseRoute]) -> Response:
    """The methods of a path; needs no token."""
    allowed = methods(scope, routes)
    if not allowed:
        return Problem("not_found").response(_language(scope))
    return Response(status_code=204, headers={"allow": ", ".join(allowed)})


def _template(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _header(scope: Scope, name: bytes) -> str:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"").decode("latin-1")


def _language(scope: Scope) -> Language:
    return preferred(_header(scope, b"accept-language"))


def _trace_id(scope: Scope) -> str:
    """Of the trace that the failure belongs to, or a name of its own."""
    trace = traceparent(scope)
    return trace.split("-")[1] if trace else uuid4().hex


def traceparent(scope: Scope) -> str | None:
    """What is asked on behalf of a request belongs below this: the door's own span, or the caller's."""
    trace = scope.get("yeyak.traceparent") or _header(scope, b"traceparent")
    return trace if tracing.TRACEPARENT.fullmatch(trace) else None


def _begin(on: tracing.Tracing, scope: Scope) -> Any:
    """The request's span, below the caller's; probes and pages have none."""
    if not scope["path"].startswith("/v1/"):
        return None
    span = on.begin(metrics.NAME, scope["method"], "SERVER", traceparent(scope) or "")
    scope["yeyak.traceparent"] = tracing.header_of(span)
    return span


def _end(span: Any, method: str, template: str, status: int) -> None:
    span.update_name(f"{method} {template}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", template)
    span.set_attribute("http.response.status_code", status)
    tracing.end(span, "unavailable" if status >= 500 else "done")
