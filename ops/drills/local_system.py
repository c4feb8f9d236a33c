"""The local system as a drill uses it: its gateway, its processes, and its supervisor."""

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
from ops.drills.siege import MEMBERS, LoadResult, SiegeRequest, load
from ops.settings import SystemSettings
from ops.stack import control
from ops.stack.local import Local
from ops.stack.waiting import until
from ops.stories.runner import issuer

COMMAND_SECONDS = 300.0
CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}


class DrillFailedError(Exception):
    """A drill could not be carried out; the text is one sentence that says why."""


@dataclass(frozen=True)
class Result:
    """The outcome of a drill: a line of the pass table."""

    passed: bool
    figures: str


class LocalSystem:
    """A running system with a balancer in front."""

    def __init__(self, settings: SystemSettings, here: Local, http: httpx.AsyncClient, url: str) -> None:
        self.settings = settings
        self.url = url
        self._here = here
        self._http = http
        self._sign = issuer(settings)
        self.members = [self.token(f"drill-{uuid4().hex[:8]}", "customer") for _ in range(MEMBERS)]
        self.staff = self.token("drill-staff", "staff")

    def token(self, name: str, role: Role) -> str:
        return self._sign(name, role, None)

    # -- over HTTP

    async def request(self, method: str, path: str, body: Any = None, *, token: str = "") -> httpx.Response:
        """Send one request, with the staff token unless another one is given."""
        headers = {"authorization": f"Bearer {token or self.staff}"}
        return await self._http.request(method, path, json=body, headers=headers)

    async def create(self, path: str, body: Any, *, token: str = "") -> dict[str, Any]:
        """Create a thing; raises DrillFailedError unless the status is 201."""
        answer = await self.request("POST", path, body, token=token)
        if answer.status_code != 201:
            raise DrillFailedError(f"POST {path} was answered {answer.status_code}: {answer.text[:200]}")
        return dict(answer.json())

    async def menu_item(self) -> str:
        item = await self.create("/v1/cafe/menu", {"name": f"Drill {uuid4().hex[:8]}", "price": 3000})
        return str(item["menu_item_id"])

    def get(self, path: str) -> SiegeRequest:
        return SiegeRequest(self.url + path)

    def post(self, path: str, body: dict[str, Any]) -> SiegeRequest:
        return SiegeRequest(self.url + path, body)

    async def load(
        self, *requests: SiegeRequest, clients: int, seconds: float, pause: float = 0.0, arrival: float = 0.0
    ) -> LoadResult:
        return await load(requests, self.members, clients, seconds, pause=pause, arrival=arrival)

    # -- processes

    def processes(self, of: str = "") -> list[dict[str, Any]]:
        """The processes as the supervisor describes them, or those that run a context, with others or alone."""
        answer = control.send_command(self._here.root, "state", timeout=10.0)
        if not answer:
            raise DrillFailedError("the supervisor does not answer: is the system up?")
        found: list[dict[str, Any]] = answer["state"]["processes"]
        return [one for one in found if not of or one["name"] == of or of in one["contexts"]]

    async def run_command(self, command: str, name: str, env: dict[str, str] | None = None) -> None:
        """Send a command to the supervisor and wait until it is done; raises DrillFailedError."""
        answer = await asyncio.to_thread(control.send_command, self._here.root, command, name, COMMAND_SECONDS, env)
        if not answer or not answer["ok"]:
            raise DrillFailedError(f"{command} {name}: {answer['error'] if answer else 'no reply'}")

    @asynccontextmanager
    async def with_settings(self, context: str, **env: str) -> AsyncIterator[None]:
        """Run a context with other settings; restores them at the end."""
        await self._restart_with(context, env)
        try:
            yield
        finally:
            await self._restart_with(context, {})

    async def _restart_with(self, context: str, env: dict[str, str]) -> None:
        await self.run_command("restart", context, env)
        await self.wait_for(self.is_ready, 60)

    async def is_ready(self) -> bool:
        return all(one["ready"] for one in await asyncio.to_thread(self.processes))

    async def breakers(self, of: str) -> set[str]:
        """The states of all breakers in all replicas of a context."""
        found: set[str] = set()
        for one in await asyncio.to_thread(self.processes, of):
            with contextlib.suppress(httpx.HTTPError, ValueError):
                reported = (await self._http.get(f"{one['health_url']}/ready")).json()["breakers"]
                found |= set(reported.get(of, {}).values())
        return found

    async def wait_for(self, condition: Callable[[], Awaitable[bool]], within: float) -> bool:
        """Wait until a condition is true; False when it is not within so many seconds."""

        async def is_true() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                return await condition()
            return False

        return await until(is_true, within, every=0.1)
