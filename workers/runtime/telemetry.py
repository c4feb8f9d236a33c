"""Logs as one JSON line per event, and the metrics of this process."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram


def configure_logs(level: str) -> None:
    """Write JSON lines to standard output; libraries from WARNING on."""
    number = getattr(logging, level)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=max(number, logging.WARNING), format='{"level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}'
    )
    # a lost connection is reported once, by the runtime, not with a traceback for each channel
    for noisy in ("aio_pika", "aiormq"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


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
