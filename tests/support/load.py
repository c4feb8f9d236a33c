"""Clients that book and look without a pause, and the answers that they got."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from contracts.base import Message
from contracts.video_rental.my_page import ListMyPage
from contracts.video_rental.rentals import ShowShelf
from tests.support.system import System, customer, eventually


class Load:
    """What the clients were answered: how often each outcome came (`done`, `unavailable`, a refusal's kind)."""

    def __init__(self, system: System) -> None:
        self.answers: Counter[str] = Counter()
        self.failed: list[tuple[str, str, bytes]] = []
        """Topic, kind and body of each answer that was not `done`."""
        self._system = system
        self._ended = False

    async def answered(self, more: int, within: float = 60.0) -> None:
        """Wait until so many more requests were answered."""
        wanted = self.answers.total() + more

        async def enough() -> bool:
            return self.answers.total() >= wanted

        await eventually(enough, within, every=0.01)

    def end(self) -> None:
        """Let each client finish its round."""
        self._ended = True

    async def run_client(self, video_id: Any) -> None:
        while not self._ended:
            member = customer()
            await self._send(self._system.booking(video_id, member))
            await self._send(ListMyPage(member_id=member.member_id))
            await self._send(ShowShelf(video_id=video_id))

    async def _send(self, message: Message) -> None:
        reply = await self._system.request(message, within=30.0)
        self.answers[reply.kind] += 1
        if reply.kind != "done":
            self.failed.append((message.topic, reply.kind, reply.body))


@asynccontextmanager
async def clients_at_work(system: System, clients: int = 8) -> AsyncIterator[Load]:
    """Clients that book, read My Page and look at the shelf; they finish their rounds at the end."""
    video_id = await system.video(copies=100_000)
    load = Load(system)
    running = [asyncio.create_task(load.run_client(video_id)) for _ in range(clients)]
    try:
        await load.answered(3 * clients)
        yield load
    finally:
        load.end()
        await asyncio.gather(*running)
