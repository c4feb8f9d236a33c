"""Logs: one JSON line per entry."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

NOISY = {"aio_pika": logging.CRITICAL, "aiormq": logging.CRITICAL, "uvicorn.error": logging.ERROR}
"""A lost connection is told once, by the runtime; what a stranger sends that is no HTTP is no news."""


def configure_logs(level: str, stream: TextIO = sys.stdout) -> None:
    """Write to `stream` from `level` on; libraries from WARNING on."""
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    line = '{"level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}'
    logging.basicConfig(level=max(number, logging.WARNING), stream=stream, format=line)
    for name, from_level in NOISY.items():
        logging.getLogger(name).setLevel(from_level)
