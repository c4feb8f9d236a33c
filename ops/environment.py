"""Checks the environment of the system: every setting, connection, port and file."""

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
from ops.settings import SystemSettings
from ops.stack.local import REPOSITORY, Local
from ops.stack.ports import is_free, read_ports
from storage.dialects import with_driver
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable

TIMEOUT = 5.0
EXPECTED_ERRORS = (
    *BROKER_ERRORS,
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    SQLAlchemyError,
    ManagementUnavailable,
)

Probe = Callable[[], Awaitable[str | None]]


async def problems(settings: SystemSettings, here: Local) -> tuple[int, list[str]]:
    """Return how many checks were made, and the problems, a sentence each."""
    probes = [one async for one in _probes(settings, here)]
    found = await asyncio.gather(*(_run(name, probe) for name, probe in probes))
    wrong = [f"{name}: there is no such setting" for name in SystemSettings.unknown(os.environ)]
    return len(probes) + 1, wrong + [sentence for sentence in found if sentence]


async def _run(name: str, probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(TIMEOUT):
            problem = await probe()
    except TimeoutError:
        problem = f"no answer within {TIMEOUT:.0f} s"
    except EXPECTED_ERRORS as error:
        problem = (str(error).splitlines() or [""])[0] or type(error).__name__
    return f"{name}: {problem}" if problem else None


async def _probes(settings: SystemSettings, here: Local) -> AsyncIterator[tuple[str, Probe]]:
    broker_url, provider = settings.amqp_url.get_secret_value(), settings.provider_database
    yield f"broker {redacted(broker_url)}", lambda: _check_broker(broker_url)
    if settings.rabbitmq_api is not None:
        api = redacted(settings.rabbitmq_api.get_secret_value())
        yield f"management API {api}", lambda: _check_management_api(settings)
    for context in CONTEXTS:
        url = settings.database_of(context)
        yield f"database of {context} {redacted(url)}", _database(url, context.replace(".", "_"))
    yield f"the payment provider's database {redacted(provider)}", _database(provider, "provider")
    yield "signing key", lambda: _check_signing_key(settings)
    yield "refund log", lambda: _check_refund_log(REPOSITORY / settings.payments_refund_log)
    if here.supervisor_pid():
        return  # the system is up: it uses the ports itself
    if settings.gateway_port:
        yield f"gateway port {settings.gateway_port}", _port(settings.gateway_port)
    health = {settings.health_port: "this process"} if settings.health_port else {}
    health |= {port: name for name, port in read_ports(here.root / "ports.json").items() if name in CONTEXTS}
    for port, name in health.items():
        yield f"health port {port} of {name}", _port(port)


def redacted(url: str) -> str:
    """A URL without user, password and query."""
    return re.sub("//[^/]*@", "//", url).partition("?")[0]


async def _check_broker(url: str) -> str | None:
    """Check that every exchange and queue exists."""
    broker = Broker(url, "check-env")
    try:
        await broker.connect()
        missing = [queue.name for queue in topology.plan(workers()) if await broker.inspect_queue(queue.name) is None]
    except ChannelNotFoundEntity:
        return "its exchanges are missing: run `yeyak topology apply`"
    finally:
        await broker.stop()
    return f"{len(missing)} queues are missing ({missing[0]}, ...): run `yeyak topology apply`" if missing else None


async def _check_management_api(settings: SystemSettings) -> str | None:
    async with ManagementClient(settings, TIMEOUT) as api:
        await api.queues()
    return None


def _database(url: str, schema: str) -> Probe:
    async def probe() -> str | None:
        if not url.startswith("postgresql://"):
            return await _check_other_database(url)
        connection = await asyncpg.connect(url, timeout=TIMEOUT)
        try:
            migrated = await connection.fetchval("select to_regclass($1)", f"{schema}.alembic_version")
        finally:
            connection.terminate()
        return None if migrated else "it has no tables: run `yeyak migrate`"

    return probe


async def _check_other_database(url: str) -> str | None:
    engine = create_async_engine(with_driver(url))
    try:
        async with engine.connect():
            return None
    finally:
        await engine.dispose()


async def _check_signing_key(settings: SystemSettings) -> str | None:
    Verifier(settings)  # raises ValueError with the missing setting
    return None


async def _check_refund_log(path: Path) -> str | None:
    """Check that the file is writable or could be created, without creating it."""
    return await asyncio.to_thread(_not_writable, path)


def _not_writable(path: Path) -> str | None:
    if path.exists():
        return None if os.access(path, os.W_OK) and path.is_file() else f"{path} is not writable"
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return None
    return f"{path} cannot be created: {nearest} is not writable"


def _port(port: int) -> Probe:
    async def probe() -> str | None:
        return None if is_free(port) else "another process listens there"

    return probe
