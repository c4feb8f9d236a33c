"""The metrics of this process. Labels hold names out of the source, never ids."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

HANDLED = Counter("yeyak_handled_total", "Messages handled, by outcome", ["context", "topic", "outcome"])
HANDLING_SECONDS = Histogram(
    "yeyak_handling_seconds",
    "From delivery to the reply",
    ["context"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 3, 10),
)
REFUSALS = Counter("yeyak_refusals_total", "Messages refused, by reason", ["context", "topic", "reason"])
DUPLICATES = Counter("yeyak_inbox_duplicates_total", "Messages that had been handled before", ["context", "topic"])
PUBLISHED = Counter("yeyak_published_total", "Durable messages that were committed", ["context", "topic"])
BOOKINGS = Counter("yeyak_bookings_total", "Bookings, by result", ["context", "result"])
REQUESTS = Counter("yeyak_requests_total", "Requests to other contexts, by outcome", ["context", "callee", "outcome"])
REQUEST_SECONDS = Histogram(
    "yeyak_request_seconds",
    "From sending a request to its outcome",
    ["context", "callee"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5),
)
BREAKER = Gauge("yeyak_breaker_state", "1 for the state that a circuit breaker is in", ["context", "callee", "state"])
OUTBOX = Gauge("yeyak_outbox_rows", "Committed messages that are not published yet", ["context"])
OUTBOX_AGE = Gauge("yeyak_outbox_age_seconds", "Age of the oldest of them", ["context"])
INBOX = Gauge("yeyak_inbox_rows", "Inbox rows by state", ["context", "state"])
TIMERS_DUE = Gauge("yeyak_timers_due", "Timers, retries and open steps whose time has come", ["context"])
TIMERS_LATE = Gauge("yeyak_timers_late_seconds", "How late the latest of them is", ["context"])
DEAD_LETTERS = Gauge("yeyak_dead_letters", "Dead letters that await a decision", ["context"])
VIEW_LAG = Histogram(
    "yeyak_view_lag_seconds",
    "From the publication of a batch's oldest event until the view shows it",
    ["context"],
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
VIEW_BEHIND = Gauge(
    "yeyak_view_behind_seconds", "Age of the oldest event that a view holds and does not show", ["context"]
)
MISSING = Gauge("yeyak_queues_missing", "Queues of this context that the broker does not have", ["context"])
READY = Gauge("yeyak_ready", "1 while a context can work", ["context"])

BREAKER_STATES = ("closed", "half_open", "open")


def gauge_breaker(context: str, callee: str, current: str) -> None:
    """Set the gauges of one circuit breaker of a caller to its current state."""
    for state in BREAKER_STATES:
        BREAKER.labels(context, callee, state).set(state == current)
