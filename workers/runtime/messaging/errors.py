"""What publications and requests raise."""

from __future__ import annotations

import aio_pika

BROKER_ERRORS = (aio_pika.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError)
"""The broker is unavailable; what was published may have been stored."""


class Unroutable(Exception):
    """No queue is bound to the routing key of this message."""


class BrokerUnavailable(ConnectionError):
    """There is no usable connection; nothing was published."""
