"""Every provider with the server or the database behind it, and the faults that a test may plan."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from ops.stack.local import REPOSITORY
from storage.database import Database
from tests.payments.providers import portone_server
from tests.payments.providers.http_server import Fault, Faults, application, served
from tests.payments.providers.portone_server import PortOneServer
from tests.payments.providers.stripe_server import StripeServer
from workers.payments.portone_provider import PortOneProvider
from workers.payments.provider import Provider
from workers.payments.simulator import Simulator
from workers.payments.stripe_provider import StripeProvider

LOCALSTRIPE = REPOSITORY / ".local/tools/localstripe/bin/python"


@dataclass
class Played:
    """A provider, its cards, its own books, and the faults of its next calls."""

    name: str
    provider: Provider
    good: str
    declined: str
    reason: str
    """Why `declined` is declined."""
    net_of: Callable[[UUID], Awaitable[int]]
    """What its books keep of a payment, read without the adapter; in won."""
    plan: Callable[[str, Fault, int], None]
    """Let the next calls of `charge` or `refund` fail."""
    faults: Faults
    server: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of a worker that uses this server."""


class Interrupted:
    """The simulator behind a network that loses calls: it has no HTTP interface in which they could be lost."""

    def __init__(self, simulator: Simulator, faults: Faults) -> None:
        self._simulator = simulator
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._simulator, name)
        if name not in ("charge", "refund"):
            return call

        async def interrupted(*arguments: Any) -> Any:
            match self._faults.take(name):
                case "lost":
                    await asyncio.shield(asyncio.create_task(self._later(call, *arguments)))
                case "unanswered":
                    await call(*arguments)
                    await self._faults.release.wait()
                case "outage" | "rate_limited":
                    return await self._simulator.charge(arguments[0], 1, "tok_error")
            return await call(*arguments)

        return interrupted

    async def _later(self, call: Any, *arguments: Any) -> None:
        await self._faults.release.wait()
        await call(*arguments)


@pytest.fixture
async def simulator(database_url: str) -> AsyncIterator[Played]:
    database = Database(f"{database_url}_provider", size=8)
    await database.start()
    one, faults = Simulator(database, slow_seconds=0.2), Faults()

    async def net_of(key: UUID) -> int:
        connection = await asyncpg.connect(f"{database_url}_provider")
        try:
            statement = "select captured - voided - refunded from provider.charges where key = $1"
            return await connection.fetchval(statement, key) or 0
        finally:
            await connection.close()

    def plan(where: str, fault: Fault, times: int) -> None:
        assert fault != "refused", "its card makes the simulator refuse refunds"
        faults.plan(where, fault, times)

    provider: Any = Interrupted(one, faults)
    yield Played("simulator", provider, "tok_refund_error", "tok_declined", "insufficient_funds", net_of, plan, faults)
    faults.release.set()
    await one.close()


@pytest.fixture(scope="session")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """localstripe in a process of its own; yields its address."""
    subprocess.run([REPOSITORY / "ops/localstripe.sh"], check=True, timeout=300)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("localstripe") / "log"
    command = [LOCALSTRIPE, Path(__file__).with_name("localstripe_process.py"), str(port)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            transport = httpx.HTTPTransport(retries=8)  # with growing pauses, until it listens
            with httpx.Client(transport=transport) as client:
                client.get(url)
            yield url
        finally:
            process.terminate()


@pytest.fixture
async def stripe(localstripe: str) -> AsyncIterator[Played]:
    server = StripeServer(localstripe)
    app = application(server.handle, server.faults, server.refuse)
    paths = {"charge": "POST /v1/payment_intents", "refund": "POST /v1/refunds"}

    async with served(app, server.faults) as url:
        provider = StripeProvider("sk_test_12345", url=url)
        yield Played(
            "stripe",
            provider,
            await server.card("4242424242424242"),
            await server.card("4000000000000341"),
            "generic_decline",
            lambda key: server.net_of(str(key)),
            lambda where, fault, times: server.faults.plan(paths[where], fault, times),
            server.faults,
            server,
            {"payments_provider": "stripe", "payments_stripe_key": "sk_test_12345", "payments_stripe_url": url},
        )
        await provider.close()
    await server.close()


@pytest.fixture
async def portone() -> AsyncIterator[Played]:
    server = PortOneServer()
    app = application(server.handle, server.faults, server.refuse)
    paths = {"charge": "/billing-key", "refund": "/cancel"}

    async def net_of(key: UUID) -> int:
        return server.net_of(str(key))

    async with served(app, server.faults) as url:
        provider = PortOneProvider(
            portone_server.SECRET,
            store_id=portone_server.STORE,
            channel_key=portone_server.CHANNEL,
            order_name="Yeyak",
            live=False,
            url=url,
        )
        yield Played(
            "portone",
            provider,
            "billing-key-good",
            portone_server.DECLINED_KEY,
            "LIMIT",
            net_of,
            lambda where, fault, times: server.faults.plan(paths[where], fault, times),
            server.faults,
            server,
            {
                "payments_provider": "portone",
                "payments_portone_secret": portone_server.SECRET,
                "payments_portone_store_id": portone_server.STORE,
                "payments_portone_channel_key": portone_server.CHANNEL,
                "payments_portone_url": url,
            },
        )
        await provider.close()


@pytest.fixture(params=["simulator", "stripe", "portone"])
def played(request: pytest.FixtureRequest) -> Played:
    """Each provider in turn."""
    found: Played = request.getfixturevalue(request.param)
    return found
