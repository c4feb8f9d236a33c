"""What publications and requests raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aio_pika

from workers.runtime.cancellation import WaitCancelled, foreign_cancellation_as_error

BROKER_ERRORS = (aio_pika.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError)
"""The broker is unavailable; what was published may have been stored."""


class Unroutable(Exception):
    """No queue is bound to the routing key of this message."""


class BrokerUnavailable(ConnectionError):
    """There is no usable connection; nothing was published."""


@contextmanager
def as_broker_errors() -> Iterator[None]:
    """Raise one of BROKER_ERRORS for what the library raises when a channel closes.

    It ends whatever waits on the channel with the reason, which may be a CancelledError, or with a bare Exception.
    """
    try:
        with foreign_cancellation_as_error():
            yield
    except Exception as error:
        if type(error) not in (Exception, WaitCancelled):
            raise
        raise aio_pika.exceptions.AMQPConnectionError("the channel was closed") from error
