"""The metrics of the gateway. Labels are route templates and codes, never ids."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from workers.runtime.observability import metrics

if TYPE_CHECKING:
    from gateway_api.pages import Ready

NAME = "gateway"

REQUESTS = Histogram(
    "yeyak_gateway_request_seconds",
    "Duration of HTTP requests, by route, method and status",
    ("route", "method", "status"),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS = Counter("yeyak_gateway_refusals", "Problem responses, by code", ("route", "code"))
IN_FLIGHT = Gauge("yeyak_gateway_in_flight", "HTTP requests in flight, by context", ("context",))

MESSAGES = Counter("yeyak_gateway_messages", "Messages sent, by context and outcome", ("context", "outcome"))

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@lru_cache(maxsize=4096)
def requests(route: str, method: str, status: int) -> Histogram:
    return REQUESTS.labels(route, method if method in METHODS else "other", str(status))


@lru_cache(maxsize=1024)
def messages(context: str, outcome: str) -> Counter:
    return MESSAGES.labels(context, outcome)


def gauge(state: Ready) -> None:
    """Set the gauges; called for each scrape."""
    metrics.READY.labels(NAME).set(all(state.parts().values()))
    metrics.gauge_breakers(NAME, getattr(state.door.rpc, "breakers", {}))
    for context, in_flight in state.door.bulkheads.inside.items():
        IN_FLIGHT.labels(context).set(in_flight)
