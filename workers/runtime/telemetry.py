"""The metrics of this process."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

HANDLED = Counter("yeyak_handled_total", "Messages handled, by outcome", ["context", "topic", "outcome"])
TOOK = Histogram(
    "yeyak_handling_seconds",
    "From delivery to the answer",
    ["context"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 3, 10),
)
ASKED = Counter("yeyak_asked_total", "Asks, by outcome", ["context", "callee", "outcome"])
BREAKER = Gauge("yeyak_breaker_open", "1 while the breaker is not closed", ["context", "callee"])
OUTBOX = Gauge("yeyak_outbox_rows", "Messages that wait to be said", ["context"])
OUTBOX_AGE = Gauge("yeyak_outbox_age_seconds", "Age of the oldest of them", ["context"])
INBOX = Gauge("yeyak_inbox_rows", "Inbox rows by state", ["context", "state"])
MISSING = Gauge("yeyak_queues_missing", "Queues of this context that the broker does not have", ["context"])
