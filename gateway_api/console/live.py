"""Live pages: the system's events become hints of what to look at again, each only for those whom it concerns.

A hint carries no state: the page asks for its part anew, by the same checks as before. Hints have numbers, so that a
browser that was away for a moment hears what it missed; one that was away for longer looks at everything again.
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

import aio_pika
import structlog
from pydantic_core import from_json

from contracts.base import Caller
from workers.runtime.messaging.bus import BROKER_ERRORS, EVENTS

log = structlog.get_logger()

KEPT = 2_000
"""Hints that a browser can catch up on."""
AFTER_SECONDS = (0.0, 0.5, 2.0, 5.0)
"""A view may apply an event a moment after it was heard here, a busy one later: what is hinted is hinted again."""
REST_SECONDS = 0.3
"""The same hint is not given more often than this."""
BEAT_SECONDS = 15.0
WATCH_SECONDS = 1.0
"""How soon a stream notices that the gateway is closing."""
LINGER_SECONDS = 60.0
"""How long the system is still listened to when nobody looks."""
LONGEST_QUEUE = 20_000

REFRESH = "refresh"
"""Look at everything again."""

ON_SHELVES = (
    "video_rental.videos",
    "video_rental.rentals",
    "ticketing.",
    "bike_sharing.bikes",
    "shop.products",
    "cafe.menu",
    "preorder.products",
    "preorder.reservations",
)
"""What changes what anybody may see; the hint names the business only."""


_NUMBER = re.compile(r"[0-9]{1,18}")


class Hint(NamedTuple):
    number: int
    name: str
    owner: str | None
    """The member whom it concerns, beside staff; None: everybody."""
    at: float = 0.0

    def concerns(self, caller: Caller) -> bool:
        return self.owner is None or caller.may_see(self.owner)


def hints_of(topic: str, body: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What to look at again because of an event, and whom that concerns."""
    system = topic.partition(".")[0]
    owner = str(body.get("member_id") or body.get("payer") or "")
    if system == "journal":
        return []
    systems = {system}
    if system == "payments":
        systems.add(str(body.get("purpose") or "").partition(".")[0] or ("shop" if "transfer_id" in body else system))
    found: list[tuple[str, str | None]] = [(f"things-{one}", owner) for one in sorted(systems)]
    if topic.startswith(ON_SHELVES):
        found.append((f"shelf-{system}", None))
    return found


@dataclass(slots=True)
class PendingHints:
    """When a hint came last, and when it was given last."""

    at: float
    given_at: float = float("-inf")

    def due(self) -> float:
        """When it is to be given next; infinity when it was given often enough."""
        moments = (self.at + seconds for seconds in AFTER_SECONDS)
        coming = next((moment for moment in moments if moment > self.given_at), float("inf"))
        return max(coming, self.given_at + REST_SECONDS)


@dataclass(eq=False, slots=True)
class Viewer:
    """One open page."""

    caller: Caller
    heard: dict[str, PendingHints] = field(default_factory=dict)
    number: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, hint: Hint, now: float) -> None:
        self.number = max(self.number, hint.number)
        if hint.concerns(self.caller):
            self.note(hint.name, now)

    def note(self, name: str, now: float) -> None:
        heard = self.heard.setdefault(name, PendingHints(now))
        heard.at = now
        self.woken.set()

    def take(self, now: float) -> list[str]:
        """The hints that are due."""
        due = [name for name, heard in self.heard.items() if heard.due() <= now]
        for name in due:
            self.heard[name].given_at = now
        return due

    def next_due(self) -> float:
        return min((heard.due() for heard in self.heard.values()), default=float("inf"))


class Live:
    """Listens to the system while somebody looks, and tells the viewers."""

    def __init__(self, amqp_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = amqp_url
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._ring: deque[Hint] = deque(maxlen=KEPT)
        self._number = 0
        self._epoch = ""
        """Names the time since which nothing was missed; empty while nobody listens."""
        self._listening: asyncio.Task[None] | None = None
        self._last_viewer = 0.0

    @property
    def position(self) -> str:
        """Where a page that is drawn now stands."""
        return f"{self._epoch}-{self._number}"

    def hear(self, topic: str, body: dict[str, Any]) -> None:
        """Tell everybody whom an event concerns."""
        now = self._clock()
        for name, owner in hints_of(topic, body):
            self._number += 1
            hint = Hint(self._number, name, owner, now)
            self._ring.append(hint)
            for viewer in self._viewers:
                viewer.hear(hint, now)

    def missed(self, caller: Caller, since: str) -> Iterable[str]:
        """The hints since a position; `refresh` when they are not known any more."""
        epoch, _, number = since.rpartition("-")
        if not self._epoch or epoch != self._epoch or not _NUMBER.fullmatch(number):
            return [REFRESH]
        seen = int(number)
        if self._ring and seen < self._ring[0].number - 1:
            return [REFRESH]
        return {hint.name for hint in self._ring if hint.number > seen and hint.concerns(caller)}

    async def stream(self, caller: Caller, since: str, is_over: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Server-sent events for one page, until `is_over`."""
        viewer = Viewer(caller, number=self._number)
        self._follow_up(viewer)
        for name in self.missed(caller, since):
            viewer.note(name, self._clock())
        self._viewers.add(viewer)
        self._listen()
        beat_at = self._clock()
        try:
            yield b"retry: 1000\n\n"
            while not is_over():
                viewer.woken.clear()
                now = self._clock()
                if names := viewer.take(now):
                    yield self._written(names, viewer.number)
                elif now >= beat_at:
                    beat_at = now + BEAT_SECONDS
                    yield b": here\n\n"
                await _pause(viewer.woken, min(viewer.next_due() - self._clock(), WATCH_SECONDS))
        finally:
            self._viewers.discard(viewer)
            self._last_viewer = self._clock()

    def _follow_up(self, viewer: Viewer) -> None:
        """A page may be drawn after an event and before the view has applied it: it hears the repetitions too."""
        for hint in self._ring:
            if hint.at > self._clock() - AFTER_SECONDS[-1] and hint.concerns(viewer.caller):
                viewer.heard[hint.name] = PendingHints(hint.at, hint.at)

    def _written(self, names: list[str], number: int) -> bytes:
        position = f"id: {self._epoch}-{number}\n"
        return "".join(f"{position}event: {name}\ndata: {name}\n\n" for name in names).encode()

    # -- the system

    def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})

    async def _follow(self) -> None:
        """Listen for as long as somebody looks; after a break nobody knows what was missed."""
        while self._is_wanted():
            try:
                await self._follow_once()
            except (*BROKER_ERRORS, OSError) as error:
                log.warning("live pages wait for the broker", error=type(error).__name__)
                await asyncio.sleep(1)
            finally:
                self._epoch = ""

    async def _follow_once(self) -> None:
        properties: Any = {"connection_name": "gateway: shows"}
        connection = await aio_pika.connect(self._url, timeout=5, client_properties=properties)
        async with connection:
            channel = await connection.channel(publisher_confirms=False)
            arguments: Any = {"x-max-length": LONGEST_QUEUE}
            name = f"yeyak.live.{uuid4().hex}"
            queue = await channel.declare_queue(name, exclusive=True, auto_delete=True, arguments=arguments)
            await queue.bind(EVENTS, "#")
            closed = asyncio.Event()
            connection.close_callbacks.add(lambda *_: closed.set())
            channel.close_callbacks.add(lambda *_: closed.set())
            await queue.consume(self._on_event, no_ack=True)
            self._begin()
            while self._is_wanted() and not closed.is_set():
                await _pause(closed, WATCH_SECONDS)

    async def _on_event(self, message: Any) -> None:
        try:
            body = from_json(message.body)
        except ValueError:
            return
        self.hear(str(message.type), body if isinstance(body, dict) else {})

    def _begin(self) -> None:
        self._epoch = uuid4().hex[:12]
        self._ring.clear()
        for viewer in self._viewers:
            viewer.note(REFRESH, self._clock())

    def _is_wanted(self) -> bool:
        return bool(self._viewers) or self._clock() < self._last_viewer + LINGER_SECONDS


async def _pause(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, so long at most."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        pass
