"""The gateway over an RPC client with fixed answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from contracts.outcomes import Outcome
from gateway_api import tokens
from gateway_api.app import build
from ops.settings import SystemSettings
from workers.runtime.messaging.envelope import RpcReply, RpcRequest

KEY = "a-key-for-tests-that-has-at-least-32-bytes"


@dataclass
class FakeRpcClient:
    """An RPC client that records its requests and answers each topic with the reply that a test set."""

    answers: dict[str, RpcReply] = field(default_factory=dict)
    requests: list[RpcRequest] = field(default_factory=list)
    time_limits: list[float] = field(default_factory=list)

    async def call(self, request: RpcRequest, *, within: float) -> RpcReply:
        self.requests.append(request)
        self.time_limits.append(within)
        return self.answers.get(request.topic, RpcReply(Outcome.UNAVAILABLE, retry_after=2))

    def replies_with(self, topic: str, answer: dict[str, Any], *, replayed: bool = False) -> None:
        self.answers[topic] = RpcReply(Outcome.DONE, json.dumps(answer).encode(), replayed=replayed)

    def refuses(self, topic: str, code: str, *, replayed: bool = False, **details: Any) -> None:
        self.answers[topic] = RpcReply(
            Outcome.REFUSED, json.dumps({"code": code, **details}).encode(), replayed=replayed
        )

    @property
    def body(self) -> dict[str, Any]:
        """The body of the last request."""
        found: dict[str, Any] = json.loads(self.requests[-1].body)
        return found


class Client(httpx.AsyncClient):
    """An HTTP client that sends requests as any caller: `as_="customer:kim"`."""

    async def request(self, method: str, url: Any, *, as_: str = "", **more: Any) -> httpx.Response:  # type: ignore[override]
        headers = dict(more.pop("headers", None) or {})
        if as_:
            headers["authorization"] = bearer(as_)
        return await super().request(method, url, headers=headers, **more)

    async def get(self, url: Any, **more: Any) -> httpx.Response:
        return await self.request("GET", url, **more)

    async def post(self, url: Any, **more: Any) -> httpx.Response:
        return await self.request("POST", url, **more)

    async def patch(self, url: Any, **more: Any) -> httpx.Response:
        return await self.request("PATCH", url, **more)


def bearer(who: str) -> str:
    role, _, subject = who.partition(":")
    return f"Bearer {tokens.issue(subject, role, key=KEY)}"  # type: ignore[arg-type]


@pytest.fixture
def rpc() -> FakeRpcClient:
    return FakeRpcClient()


@pytest.fixture
def make_settings() -> Callable[..., SystemSettings]:
    return lambda **changes: SystemSettings(**{"jwt_key": KEY, "gateway_rate": 0, **changes})


@pytest.fixture
async def make_client(rpc, make_settings) -> AsyncIterator[Callable[..., Client]]:
    """Make clients of gateways with other settings."""
    clients: list[Client] = []

    def make(**changes: Any) -> Client:
        transport = httpx.ASGITransport(build(rpc, make_settings(**changes)), raise_app_exceptions=False)
        clients.append(Client(transport=transport, base_url="http://gateway"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(make_client) -> Client:
    return make_client()
