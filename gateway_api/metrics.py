"""Metrics of the gateway. Labels hold route templates, contexts and codes, never ids."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from workers.runtime.observability import metrics

NAME = "gateway"

REQUESTS = Histogram(
    "yeyak_gateway_request_seconds",
    "Duration of HTTP requests, by route, method and status",
    ("route", "method", "status"),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS = Counter("yeyak_gateway_refusals", "Responses that are problems, by code", ("route", "code"))
LIMITED = Counter(
    "yeyak_gateway_limited", "Requests and connections that a limit of the gateway refused or ended", ("limit",)
)
LIMITS = (
    "header_bytes",
    "header_count",
    "target_bytes",
    "chunks",
    "pipelined",
    "malformed",
    "header_seconds",
    "body_seconds",
    "reading_seconds",
    "drained_bytes",
    "connections",
    "connections_per_address",
    "failures",
    "in_flight",
    "in_flight_per_caller",
    "streams",
    "streams_per_person",
)
for _limit in LIMITS:
    LIMITED.labels(_limit)  # exposed from the start, so that the first one counts in a rate
IN_FLIGHT = Gauge("yeyak_gateway_in_flight", "Requests in flight, by context", ("context",))
CONTEXT_REQUESTS = Counter(
    "yeyak_gateway_context_requests", "Requests sent to contexts, by outcome", ("context", "outcome")
)
WEBHOOKS = Counter("yeyak_gateway_webhooks", "Webhooks of payment providers, by outcome", ("provider", "outcome"))

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@lru_cache(maxsize=4096)
def requests(route: str, method: str, status: int) -> Histogram:
    """Return the histogram of one combination of labels; an unknown method counts as `other`."""
    return REQUESTS.labels(route, method if method in METHODS else "other", str(status))


@lru_cache(maxsize=1024)
def context_requests(context: str, outcome: str) -> Counter:
    """Return the counter of one context and outcome."""
    return CONTEXT_REQUESTS.labels(context, outcome)


def update_gauges(*, ready: bool, breakers: Mapping[str, Any], in_flight: Mapping[str, int]) -> None:
    """Set the gauges, which are read when Prometheus scrapes; `breakers` and `in_flight` are by context."""
    metrics.READY.labels(NAME).set(ready)
    for callee, breaker in breakers.items():
        metrics.gauge_breaker(NAME, callee, breaker.state)
    for context, count in in_flight.items():
        IN_FLIGHT.labels(context).set(count)
