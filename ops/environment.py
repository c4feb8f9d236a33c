"""Whether the system could run here: every setting, connection, port and file, tried."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
from aiormq.exceptions import ChannelNotFoundEntity
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from gateway_api.tokens import Verifier
from ops.stack.local import REPOSITORY, Local
from ops.stack.ports import is_free, read_ports
from storage.dialects import with_driver
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.bus import BROKER_ERRORS, Bus
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable
from workers.runtime.settings import Settings, unknown_names

PATIENCE = 5.0
SAYS_WHY = (
    *BROKER_ERRORS,
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    SQLAlchemyError,
    ManagementUnavailable,
)

Try = Callable[[], Awaitable[str | None]]


async def problems(settings: Settings, here: Local) -> tuple[int, list[str]]:
    """How many things were tried, and what is wrong, a sentence each."""
    tries = [one async for one in _tries(settings, here)]
    found = await asyncio.gather(*(_within(name, attempt) for name, attempt in tries))
    wrong = [f"{name}: no setting has this name" for name in unknown_names()]
    return len(tries) + 1, wrong + [sentence for sentence in found if sentence]


async def _within(name: str, attempt: Try) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE):
            problem = await attempt()
    except TimeoutError:
        problem = f"no answer within {PATIENCE:.0f} s"
    except SAYS_WHY as error:
        problem = (str(error).splitlines() or [""])[0] or type(error).__name__
    return f"{name}: {problem}" if problem else None


async def _tries(settings: Settings, here: Local) -> AsyncIterator[tuple[str, Try]]:
    broker_url, provider = settings.amqp_url.get_secret_value(), settings.provider_database
    yield f"broker {place(broker_url)}", lambda: _broker(broker_url)
    if settings.rabbitmq_api is not None:
        api = place(settings.rabbitmq_api.get_secret_value())
        yield f"management API {api}", lambda: _management(settings)
    for context in CONTEXTS:
        url = settings.database_of(context)
        yield f"database of {context} {place(url)}", _database(url, context.replace(".", "_"))
    yield f"the payment provider's database {place(provider)}", _database(provider, "provider")
    yield "signing key", lambda: _key(settings)
    yield "refund log", lambda: _refund_log(REPOSITORY / settings.payments_refund_log)
    if here.supervisor_pid():
        return  # the system is up: its ports are its own
    if settings.gateway_port:
        yield f"gateway port {settings.gateway_port}", _port(settings.gateway_port)
    health = {settings.health_port: "this process"} if settings.health_port else {}
    health |= {port: name for name, port in read_ports(here.root / "ports.json").items() if name in CONTEXTS}
    for port, name in health.items():
        yield f"health port {port} of {name}", _port(port)


def place(url: str) -> str:
    """A URL without user, password and options."""
    return re.sub("//[^/]*@", "//", url).partition("?")[0]


async def _broker(url: str) -> str | None:
    """Every queue is there."""
    bus = Bus(url, "check-env")
    try:
        await bus.start()
        missing = [queue.name for queue in topology.plan(workers()) if await bus.inspect_queue(queue.name) is None]
    except ChannelNotFoundEntity:
        return "its exchanges are missing: run `yeyak topology apply`"
    finally:
        await bus.stop()
    return f"{len(missing)} queues are missing ({missing[0]}, ...): run `yeyak topology apply`" if missing else None


async def _management(settings: Settings) -> str | None:
    async with ManagementClient(settings, PATIENCE) as api:
        await api.queues()
    return None


def _database(url: str, schema: str) -> Try:
    async def attempt() -> str | None:
        if not url.startswith("postgresql://"):
            return await _other_database(url)
        connection = await asyncpg.connect(url, timeout=PATIENCE)
        try:
            migrated = await connection.fetchval("select to_regclass($1)", f"{schema}.alembic_version")
        finally:
            connection.terminate()
        return None if migrated else "it has no tables: run `yeyak migrate`"

    return attempt


async def _other_database(url: str) -> str | None:
    engine = create_async_engine(with_driver(url))
    try:
        async with engine.connect():
            return None
    finally:
        await engine.dispose()


async def _key(settings: Settings) -> str | None:
    Verifier(settings)  # says what it misses
    return None


async def _refund_log(path: Path) -> str | None:
    """Writable, or could be made; nothing is."""
    return await asyncio.to_thread(_not_writable, path)


def _not_writable(path: Path) -> str | None:
    if path.exists():
        return None if os.access(path, os.W_OK) and path.is_file() else f"{path} cannot be written"
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return None
    return f"{path} cannot be made: {nearest} cannot be written"


def _port(port: int) -> Try:
    async def attempt() -> str | None:
        return None if is_free(port) else "somebody listens there already"

    return attempt
