"""The local system as a drill sees it: its door, its processes, and orders to its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from contracts.base import Role
from ops.drills.siege import MEMBERS, Load, Request, load
from ops.stack import control
from ops.stack.local import Local
from ops.stack.waiting import until
from ops.stories.stage import issuer
from workers.runtime.settings import Settings

ORDER_SECONDS = 300.0
CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}


class DrillFailedError(Exception):
    """One sentence: what could not even be tried."""


@dataclass(frozen=True)
class Result:
    """One line of the pass table."""

    passed: bool
    figures: str


class Place:
    """A running system with a balancer in front."""

    def __init__(self, settings: Settings, here: Local, http: httpx.AsyncClient, url: str) -> None:
        self.settings = settings
        self.url = url
        self._here = here
        self._http = http
        self._sign = issuer(settings)
        self.members = [self.token(f"drill-{uuid4().hex[:8]}", "customer") for _ in range(MEMBERS)]
        self.staff = self.token("drill-staff", "staff")

    def token(self, name: str, role: Role) -> str:
        return self._sign(name, role, None)

    # -- at the door

    async def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> httpx.Response:
        """One request, by staff unless a token says otherwise."""
        headers = {"authorization": f"Bearer {token or self.staff}"}
        return await self._http.request(method, path, json=body, headers=headers)

    async def made(self, path: str, body: Any, *, token: str = "") -> dict[str, Any]:
        """Create something; raises DrillFailedError when that is refused."""
        answer = await self.call("POST", path, body, token=token)
        if answer.status_code != 201:
            raise DrillFailedError(f"POST {path} was answered {answer.status_code}: {answer.text[:200]}")
        return dict(answer.json())

    async def menu_item(self) -> str:
        made = await self.made("/v1/cafe/menu", {"name": f"Drill {uuid4().hex[:8]}", "price": 3000})
        return str(made["menu_item_id"])

    def get(self, path: str) -> Request:
        return Request(self.url + path)

    def post(self, path: str, body: dict[str, Any]) -> Request:
        return Request(self.url + path, body)

    async def load(
        self, *requests: Request, clients: int, seconds: float, pause: float = 0.0, arrival: float = 0.0
    ) -> Load:
        return await load(requests, self.members, clients, seconds, pause=pause, arrival=arrival)

    # -- behind it

    def processes(self, of: str = "") -> list[dict[str, Any]]:
        """What the supervisor says of them; the replicas of a context are called `name`, `name-2`, ..."""
        answer = control.send_command(self._here.root, "state", timeout=10.0)
        if not answer:
            raise DrillFailedError("the supervisor does not answer: is the system up?")
        found: list[dict[str, Any]] = answer["state"]["processes"]
        return [one for one in found if not of or one["name"] == of or one["name"].rpartition("-")[0] == of]

    async def order(self, do: str, name: str, env: dict[str, str] | None = None) -> None:
        """Have the supervisor do something, to its end."""
        answer = await asyncio.to_thread(control.send_command, self._here.root, do, name, ORDER_SECONDS, env)
        if not answer or not answer["ok"]:
            raise DrillFailedError(f"{do} {name}: {answer['error'] if answer else 'nobody answers'}")

    @asynccontextmanager
    async def changed(self, context: str, **env: str) -> AsyncIterator[None]:
        """A context with other settings, until the end."""
        await self.restarted(context, env)
        try:
            yield
        finally:
            await self.restarted(context, {})

    async def restarted(self, context: str, env: dict[str, str]) -> None:
        await self.order("restart", context, env)
        await self.comes(self.is_ready, 60)

    async def is_ready(self) -> bool:
        return all(one["ready"] for one in await asyncio.to_thread(self.processes))

    async def breakers(self, of: str) -> set[str]:
        """The states of every breaker in every replica of a context."""
        found: set[str] = set()
        for one in await asyncio.to_thread(self.processes, of):
            with contextlib.suppress(httpx.HTTPError, ValueError):
                told = (await self._http.get(f"{one['health_url']}/ready")).json()["breakers"]
                found |= {state for states in told.values() for state in states.values()}
        return found

    async def comes(self, condition: Callable[[], Awaitable[bool]], within: float) -> bool:
        """Whether a condition holds within some seconds."""

        async def holds() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return await condition()
            return False

        return await until(holds, within, every=0.1)
