"""Live updates: events of the system become hints, sent to open pages as server-sent events.

A hint names what a page should reload and carries no data: the page requests its fragment again, and all checks of the
first request apply. Hints are numbered. A browser that reconnects gets the hints that it missed; when they are no
longer kept, it gets `refresh` and reloads everything.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from pydantic_core import from_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from contracts.base import Caller
from gateway_api.console.businesses import BUSINESSES
from gateway_api.console.render import HEADERS
from gateway_api.language import Language
from gateway_api.limits import Seats
from gateway_api.problems import Problem
from workers.runtime.messaging.consumer import consume_events

log = structlog.get_logger()

KEPT_HINTS = 2_000
"""How many hints are kept for browsers that reconnect."""
AFTER_SECONDS = (0.0, 0.5, 2.0, 5.0)
"""When a hint is sent after its event: repeatedly, since a view may apply the event later than the gateway sees it."""
REST_SECONDS = 0.3
"""The least time between two sendings of the same hint."""
HEARTBEAT_SECONDS = 15.0
CHECK_SECONDS = 1.0
"""How often a stream checks whether the gateway is closing."""
LINGER_SECONDS = 60.0
"""How long events are still consumed after the last page was closed."""
QUEUE_LIMIT = 20_000

REFRESH = "refresh"
"""The hint to reload everything."""

CATALOGUE_TOPICS = tuple(topic for business in BUSINESSES for topic in business.offers)
"""Prefixes of topics that change a catalogue; such a hint names the business only, and everybody gets it."""


_NUMBER = re.compile(r"[0-9]{1,18}")


class Hint(NamedTuple):
    number: int
    name: str
    owner: str | None
    """The member who gets it besides staff; None: everybody."""
    at: float = 0.0
    """The clock's time of the event."""

    def concerns(self, caller: Caller) -> bool:
        return self.owner is None or caller.may_see(self.owner)


def hints_of(topic: str, body: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return the hints of an event, each with its owner as in `Hint`."""
    system = topic.partition(".")[0]
    owner = str(body.get("member_id") or body.get("payer") or "")
    if system == "journal":
        return []
    systems = {system}
    if system == "payments":
        systems.add(str(body.get("purpose") or "").partition(".")[0] or ("shop" if "transfer_id" in body else system))
    hints: list[tuple[str, str | None]] = [(f"records-{one}", owner) for one in sorted(systems)]
    if topic.startswith(CATALOGUE_TOPICS):
        hints.append((f"catalogue-{system}", None))
    return hints


class EventStream(StreamingResponse):
    """The response with the hints of one page; a problem when its person has as many streams as one may have."""

    def __init__(self, hints: AsyncIterator[bytes], seats: Seats, person: str, language: Language) -> None:
        super().__init__(hints, 200, {**HEADERS, "x-accel-buffering": "no"}, "text/event-stream")
        self._seats = seats
        self._person = person
        self._language = language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._seats.seat(self._person):
                await super().__call__(scope, receive, send)
        except Problem as problem:
            await problem.response(self._language)(scope, receive, send)


@dataclass(slots=True)
class HintSchedule:
    """When a hint came last, and when it was sent last."""

    at: float
    sent_at: float = float("-inf")

    def due(self) -> float:
        """Return when it is sent next; infinity after the last repetition."""
        times = (self.at + seconds for seconds in AFTER_SECONDS)
        following = next((time for time in times if time > self.sent_at), float("inf"))
        return max(following, self.sent_at + REST_SECONDS)


@dataclass(eq=False, slots=True)
class Viewer:
    """The stream of one open page."""

    caller: Caller
    scheduled: dict[str, HintSchedule] = field(default_factory=dict)
    number: int = 0
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self, hint: Hint, now: float) -> None:
        """Schedule a hint if it concerns the caller."""
        self.number = max(self.number, hint.number)
        if hint.concerns(self.caller):
            self.schedule(hint.name, now)

    def schedule(self, name: str, now: float) -> None:
        """Schedule a hint and its repetitions from now."""
        self.scheduled.setdefault(name, HintSchedule(now)).at = now
        self.wakeup.set()

    def take(self, now: float) -> list[str]:
        """Return the hints that are due, and count them as sent."""
        due = [name for name, schedule in self.scheduled.items() if schedule.due() <= now]
        for name in due:
            self.scheduled[name].sent_at = now
        return due

    def next_due(self) -> float:
        return min((schedule.due() for schedule in self.scheduled.values()), default=float("inf"))


class LiveUpdates:
    """Consumes the events of the system while pages are open, and sends hints to them."""

    def __init__(self, amqp_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = amqp_url
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._ring: deque[Hint] = deque(maxlen=KEPT_HINTS)
        self._number = 0
        self._epoch = ""
        """Identifies the consumption since which no event was missed; empty while none runs."""
        self._consuming: asyncio.Task[None] | None = None
        self._last_viewer = 0.0

    @property
    def position(self) -> str:
        """The position of a page that is rendered now."""
        return f"{self._epoch}-{self._number}"

    def publish(self, topic: str, body: dict[str, Any]) -> None:
        """Pass the hints of an event to the viewers."""
        now = self._clock()
        for name, owner in hints_of(topic, body):
            self._number += 1
            hint = Hint(self._number, name, owner, now)
            self._ring.append(hint)
            for viewer in self._viewers:
                viewer.receive(hint, now)

    def missed(self, caller: Caller, since: str) -> Iterable[str]:
        """Return the hints since a position; `refresh` when they are no longer kept."""
        epoch, _, number = since.rpartition("-")
        if not self._epoch or epoch != self._epoch or not _NUMBER.fullmatch(number):
            return [REFRESH]
        seen = int(number)
        if self._ring and seen < self._ring[0].number - 1:
            return [REFRESH]
        return {hint.name for hint in self._ring if hint.number > seen and hint.concerns(caller)}

    async def stream(self, caller: Caller, since: str, is_closing: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield the server-sent events of one page until `is_closing()`."""
        viewer = Viewer(caller, number=self._number)
        self._schedule_repetitions(viewer)
        for name in self.missed(caller, since):
            viewer.schedule(name, self._clock())
        self._viewers.add(viewer)
        self._ensure_consuming()
        heartbeat_at = self._clock()
        try:
            yield b"retry: 1000\n\n"
            while not is_closing():
                viewer.wakeup.clear()
                now = self._clock()
                if names := viewer.take(now):
                    yield self._encode(names, viewer.number)
                elif now >= heartbeat_at:
                    heartbeat_at = now + HEARTBEAT_SECONDS
                    yield b": heartbeat\n\n"
                await _pause(viewer.wakeup, min(viewer.next_due() - self._clock(), CHECK_SECONDS))
        finally:
            self._viewers.discard(viewer)
            self._last_viewer = self._clock()

    def _schedule_repetitions(self, viewer: Viewer) -> None:
        """Schedule the repetitions of recent hints: the page may have been rendered before a view applied the event."""
        for hint in self._ring:
            if hint.at > self._clock() - AFTER_SECONDS[-1] and hint.concerns(viewer.caller):
                viewer.scheduled[hint.name] = HintSchedule(hint.at, hint.at)

    def _encode(self, names: list[str], number: int) -> bytes:
        position = f"id: {self._epoch}-{number}\n"
        return "".join(f"{position}event: {name}\ndata: {name}\n\n" for name in names).encode()

    # -- consumption of events

    def _ensure_consuming(self) -> None:
        if self._consuming is None or self._consuming.done():
            self._consuming = asyncio.create_task(self._consume())

    async def stop(self) -> None:
        """Stop consuming events."""
        if self._consuming is not None:
            self._consuming.cancel()
            await asyncio.wait({self._consuming})

    async def _consume(self) -> None:
        """Consume while pages are open; reconnect after an error, with a new epoch: events may have been missed."""
        while self._has_viewers():
            try:
                await self._consume_once()
            except Exception as error:  # the pages that are open wait for it
                log.warning("live_updates_interrupted", error=type(error).__name__)
                await asyncio.sleep(1)
            finally:
                self._epoch = ""

    async def _consume_once(self) -> None:
        closed = asyncio.Event()
        name = "gateway: live updates"
        async with consume_events(self._url, name, self._on_event, closed.set, queue_limit=QUEUE_LIMIT):
            self._start_epoch()
            while self._has_viewers() and not closed.is_set():
                await _pause(closed, CHECK_SECONDS)

    def _on_event(self, message: Any) -> None:
        """Publish the hints of an event."""
        try:
            body = from_json(message.body)
        except ValueError:
            return
        self.publish(str(message.type), body if isinstance(body, dict) else {})

    def _start_epoch(self) -> None:
        self._epoch = uuid4().hex[:12]
        self._ring.clear()
        for viewer in self._viewers:
            viewer.schedule(REFRESH, self._clock())

    def _has_viewers(self) -> bool:
        return bool(self._viewers) or self._clock() < self._last_viewer + LINGER_SECONDS


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event for at most `seconds`."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        pass
