"""What publications and requests raise."""

from __future__ import annotations

from types import TracebackType

import aio_pika

from workers.runtime.cancellation import WaitCancelled, foreign_cancellation_as_error

BROKER_ERRORS = (aio_pika.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError)
"""The broker is unavailable; what was published may have been stored."""


class Unroutable(Exception):
    """No queue is bound to the routing key of this message."""


class BrokerUnavailable(ConnectionError):
    """There is no usable connection; nothing was published."""


class as_broker_errors(foreign_cancellation_as_error):  # used as a function is
    """Raise one of BROKER_ERRORS for what the library raises when a channel closes.

    It ends whatever waits on the channel with the reason, which may be a CancelledError, or with a bare Exception.
    """

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            return
        try:
            super().__exit__(kind, error, traceback)
        except WaitCancelled as cancelled:
            raise _closed() from cancelled
        if kind is Exception:
            raise _closed() from error


def _closed() -> Exception:
    return aio_pika.exceptions.AMQPConnectionError("the channel was closed")
