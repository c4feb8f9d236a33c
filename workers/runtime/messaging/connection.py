"""Connections to RabbitMQ that leave nothing behind when an attempt to connect is given up."""

from __future__ import annotations

from typing import Any

from aio_pika import RobustConnection, connect_robust
from aio_pika.abc import TimeoutType

CONNECT_SECONDS = 10.0
"""After which a broker that accepts a connection and does not answer is tried again; heartbeats begin only later."""
RECONNECT_SECONDS = 0.5


class SafeRobustConnection(RobustConnection):
    """A robust connection whose reconnection task ends with a failed or cancelled `connect`.

    The library's task goes on when the caller of `connect` is cancelled, and swallows its own cancellation as long as
    `close` was not called.
    """

    async def connect(self, timeout: TimeoutType = None) -> None:
        try:
            await super().connect(timeout)
        except BaseException:
            await self.close()
            raise

    @property
    def is_usable(self) -> bool:
        """Connected, and not blocked by an alarm of the broker."""
        transport = self.transport
        if self.is_closed or transport is None or not self.connected.is_set():
            return False
        return _is_done(transport.connection.ready())


def _is_done(waiting: Any) -> bool:
    """Whether a coroutine that only waits for a state ends at once; it is not left waiting."""
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False


async def connect(url: str, name: str, *, timeout: float = CONNECT_SECONDS) -> SafeRobustConnection:
    """Connect; `name` is shown by the management console. Raises an AMQP error, OSError or TimeoutError."""
    return await connect_robust(
        url,
        timeout=timeout,
        reconnect_interval=RECONNECT_SECONDS,
        client_properties={"connection_name": name},
        connection_class=SafeRobustConnection,
    )
