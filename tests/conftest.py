"""Fixtures of every test: the suite's own servers, systems on them, and two customers."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from contracts.base import Caller
from ops.accounts.files import Folder
from ops.settings import SystemSettings
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import System, customer
from tests.support.view_databases import KINDS, ViewDatabases
from workers.runtime.messaging import accelerator

_local = tempfile.TemporaryDirectory(prefix="yeyak-tests-")

_accelerator = os.environ.get("YEYAK_AMQP_ACCELERATOR", "on")

for name in [name for name in os.environ if name.startswith("YEYAK_")]:
    del os.environ[name]
os.environ["YEYAK_ENGINE"] = "private"
os.environ["YEYAK_LOCAL"] = _local.name
"""Commands under test must not find a system that runs in this checkout."""
os.environ["YEYAK_AMQP_ACCELERATOR"] = _accelerator
if _accelerator != "off":
    accelerator.enable()


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    """Undo what a test changed in the environment of its process."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A private RabbitMQ and PostgreSQL on free ports, ended with the suite."""
    with support.folder(Path(tmp_path_factory.mktemp("servers"))) as root:
        running = support.start(root, request.config.getoption("--broker"))
        try:
            yield running
        finally:
            running.rabbit.destroy()
            running.postgres.destroy()


@pytest.fixture(scope="session")
async def templates(servers: Servers) -> None:
    """Migrated databases; every system copies them."""
    for template in (support.TEMPLATE, support.PROVIDER_TEMPLATE):
        await support.create_database(servers, template)
    await asyncio.to_thread(support.make_templates, servers)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broker", choices=("", "4"), default="", help="RabbitMQ's version; empty: the installed one")
    parser.addoption("--views", choices=KINDS, default="postgresql", help="the kind of database that has the views")


@pytest.fixture(scope="session")
async def view_databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ViewDatabases | None]:
    """The databases of views; None while views live in PostgreSQL with everything else."""
    kind = request.config.getoption("--views")
    databases = None if kind == "postgresql" else ViewDatabases(kind, tmp_path_factory.mktemp("views"))
    yield databases
    if databases is not None:
        await databases.stop()


LONG = ("crash_walk", "killed_processes", "mutants", "server_outages", "test_delivery")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that no process is left with one of them at the end."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))


MakeSettings = Callable[..., Any]

_made: list[tuple[Servers, str, list[str]]] = []
"""The servers, virtual host and databases of each system of the module that is running."""


@pytest.fixture(scope="module", autouse=True)
async def _remove_systems() -> AsyncIterator[None]:
    """Delete the virtual hosts and databases of a module after it: with thousands of queues the broker is slow."""
    yield
    while _made:
        servers, vhost, databases = _made.pop()
        await support.delete_vhost(servers, vhost)
        await support.drop_databases(servers, databases)


@pytest.fixture(scope="session")
def make_settings(
    servers: Servers, templates: None, view_databases: ViewDatabases | None, tmp_path_factory: pytest.TempPathFactory
) -> MakeSettings:
    """Make settings of a new system: a virtual host and databases of its own, and short times."""

    async def make(**more: Any) -> SystemSettings:
        name = f"system_{uuid4().hex[:12]}"
        database = await support.create_database(servers, name, support.TEMPLATE)
        provider = await support.create_database(servers, f"{name}_provider", support.PROVIDER_TEMPLATE)
        vhost = await support.create_vhost(servers)
        _made.append((servers, vhost, [name, f"{name}_provider"]))
        quick: dict[str, Any] = {
            "amqp_url": SecretStr(vhost),
            "database_url": SecretStr(database),
            "provider_database_url": SecretStr(provider),
            "rabbitmq_api": SecretStr(servers.rabbit.api_url),
            "scheduler_seconds": 0.05,
            "relay_after_seconds": 0.3,
            "lease_seconds": 2,
            "check_queues_seconds": 1,
            "breaker_open_seconds": 0.5,
            "payments_slow_seconds": 0.8,
            "payments_provider_ms": 300,
            "video_rental_payment_ms": 700,
            "payments_refund_log": tmp_path_factory.mktemp("refunds") / "refunds.jsonl",
        }
        if view_databases is not None:
            urls = await view_databases.urls()
            quick["context_database_urls"] = {name: SecretStr(url) for name, url in urls.items()}
        return SystemSettings(**(quick | more))

    return make


@pytest.fixture(scope="session")
def accounts_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The passwords of every account: the systems of a suite share broker and database server."""
    return Folder(tmp_path_factory.mktemp("accounts"))


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """All contexts of video rental, shared by the tests of a module."""
    running = await System(await make_settings(), "video_rental").open()
    await running.start(*running.names)
    yield running
    await running.close()


@pytest.fixture
def kim() -> Caller:
    return customer()


@pytest.fixture
def lee() -> Caller:
    return customer()
