"""The W3C trace context of a request: from the gateway's own span, or from the caller's `traceparent` header."""

from __future__ import annotations

from starlette.types import Scope

from workers.runtime.observability import tracing

SCOPE_KEY = "yeyak.traceparent"
"""Where `EdgeMiddleware` keeps the `traceparent` of the gateway's span."""


def traceparent(scope: Scope) -> str | None:
    """Return the `traceparent` under which messages of this request are sent; None without a valid one."""
    value = scope.get(SCOPE_KEY) or header(scope, b"traceparent")
    return value if tracing.TRACEPARENT.fullmatch(value) else None


def header(scope: Scope, name: bytes) -> str:
    """Return a request header; empty when it is missing."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"").decode("latin-1")
