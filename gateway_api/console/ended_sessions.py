"""Sessions that ended before their time: a stream of the broker tells all gateways, also one that starts later.

A gateway reads the stream from its beginning and then follows it. It accepts no session before it has read a marker
that it published itself when it began to read: everything that was confirmed earlier stands before the marker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import structlog
from pydantic_core import from_json, to_json

from gateway_api.problems import Problem
from workers.runtime.messaging.batch_consumer import consume_batches
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.envelope import exchange
from workers.runtime.messaging.errors import BROKER_ERRORS, Unroutable
from workers.runtime.messaging.exchanges import SESSION_STREAM, SESSIONS

log = structlog.get_logger()

ROUTING_KEY = "session_ended"
CLIENT_NAME = "gateway: ended sessions"
PREFETCH = 1000
WAIT_SECONDS = 3.0
"""How long a request waits for the stream to be read; longer than a new connection takes."""
RETRY_SECONDS = 0.5
PURGE_AT = 10_000
"""So many sessions are kept before those are dropped that are over anyway; then twice as many as were left."""


class EndedSessions:
    """The sessions that ended before their time, by id; without a broker only those of this process."""

    def __init__(self, broker: Broker | None, url: str, clock: Callable[[], float] = time.time) -> None:
        self._broker = broker
        self._url = url
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._purge_at = PURGE_AT
        self._current = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow the stream."""
        if self._broker is not None and self._following is None:
            self._following = asyncio.create_task(self._follow(self._broker))

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def contains(self, session_id: str) -> bool:
        """Whether a session has ended; raises `unavailable` while the stream is not read."""
        if self._broker is not None and not self._current.is_set():
            await self._wait_until_current()
        return session_id in self._ends

    def is_known(self, session_id: str) -> bool:
        """Whether a session has ended, as far as this gateway knows now."""
        return session_id in self._ends

    async def add(self, session_id: str, ends_at: float) -> None:
        """End a session that would last until `ends_at`, on every gateway; raises `unavailable`."""
        if self._broker is not None:
            try:
                await self._publish(self._broker, {"session": session_id, "ends_at": ends_at})
            except (Unroutable, *BROKER_ERRORS, OSError) as error:
                log.warning("session_not_ended", error=type(error).__name__)
                raise Problem("unavailable") from None
        self._keep(session_id, ends_at)

    async def _wait_until_current(self) -> None:
        self.start()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._current.wait()
        except TimeoutError:
            raise Problem("unavailable") from None

    async def _publish(self, broker: Broker, body: dict[str, Any]) -> None:
        await broker.publish(
            to_json(body),
            routing_key=ROUTING_KEY,
            exchange=exchange(SESSIONS),
            persist=True,
            message_id=str(uuid4()),
            message_type=ROUTING_KEY,
        )

    # -- the stream

    async def _follow(self, broker: Broker) -> None:
        while True:
            if broker.is_usable:
                await self._follow_and_report(broker)
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow_and_report(self, broker: Broker) -> None:
        try:
            await self._follow_once(broker)
        except Exception as error:  # the stream is read anew, or nobody could sign in any more
            log.warning("ended_sessions_unavailable", error=type(error).__name__)
        finally:
            self._current.clear()

    async def _follow_once(self, broker: Broker) -> None:
        """Read the stream until the connection is lost; raises ConsumerClosed, or what a publication raises."""
        marker = str(uuid4())
        first = {"x-stream-offset": "first"}
        async with consume_batches(self._url, CLIENT_NAME, SESSION_STREAM, prefetch=PREFETCH, arguments=first) as feed:
            await self._publish(broker, {"marker": marker})
            while True:
                messages = await feed.batch(PREFETCH)
                if marker in [self._read(message.body) for message in messages]:
                    self._current.set()
                await feed.ack(messages[-1])

    def _read(self, body: bytes) -> str:
        """Keep the session that a message names; returns the marker, if it is one."""
        try:
            fields = from_json(body)
            if "session" in fields:
                self._keep(str(fields["session"]), float(fields["ends_at"]))
            return str(fields.get("marker", ""))
        except Exception:  # whatever it is, the messages behind it are read
            log.error("ended_session_unreadable")
            return ""

    def _keep(self, session_id: str, ends_at: float) -> None:
        if len(self._ends) >= self._purge_at:
            self._ends = {one: until for one, until in self._ends.items() if until > self._clock()}
            self._purge_at = max(PURGE_AT, 2 * len(self._ends))
        self._ends[session_id] = ends_at
