"""What every test may use: the suite's own servers, and a system on them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from ops.accounts.files import Folder
from tests.support import servers as support
from tests.support.elsewhere import KINDS, Elsewhere
from tests.support.servers import Servers
from tests.support.system import System
from workers.runtime.settings import Settings

_elsewhere = tempfile.TemporaryDirectory(prefix="yeyak-tests-")

for name in [name for name in os.environ if name.startswith("YEYAK_")]:
    del os.environ[name]
os.environ["YEYAK_ENGINE"] = "private"
os.environ["YEYAK_LOCAL"] = _elsewhere.name
"""A system that is up in this checkout is none of the suite's: a command that is tried here must not find it."""


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """What a command puts into the environment of its process goes with its test."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A private RabbitMQ and PostgreSQL on free ports, ended with the suite."""
    running = support.start(Path(tmp_path_factory.mktemp("servers")), request.config.getoption("--broker"))
    try:
        yield running
    finally:
        running.rabbit.destroy()
        running.postgres.destroy()


@pytest.fixture(scope="session")
async def templates(servers: Servers) -> None:
    """Migrated databases, to be copied."""
    import asyncio

    for template in (support.TEMPLATE, support.PROVIDER_TEMPLATE):
        await support.create_database(servers, template)
    await asyncio.to_thread(support.make_templates, servers)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broker", choices=("", "4"), default="", help="RabbitMQ's version; empty: the installed one")
    parser.addoption("--views", choices=KINDS, default="postgresql", help="the kind of database that views live in")


@pytest.fixture(scope="session")
async def elsewhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Elsewhere | None]:
    """Where views live when they do not live in PostgreSQL."""
    kind = request.config.getoption("--views")
    there = None if kind == "postgresql" else Elsewhere(kind, tmp_path_factory.mktemp("views"))
    yield there
    if there is not None:
        await there.stop()


LONG = ("crash_walk", "killed_processes", "mutants", "server_outages", "test_delivery")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no process is left alone with them in the end."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))


MakeSettings = Callable[..., Any]

_vhosts: list[tuple[Servers, str]] = []


@pytest.fixture(scope="module", autouse=True)
async def _no_crowd_on_the_broker() -> AsyncIterator[None]:
    """The virtual hosts of a module go with it: thousands of queues would make the broker slow to come back."""
    yield
    while _vhosts:
        await support.delete_vhost(*_vhosts.pop())


@pytest.fixture(scope="session")
def make_settings(
    servers: Servers, templates: None, elsewhere: Elsewhere | None, tmp_path_factory: pytest.TempPathFactory
) -> MakeSettings:
    """Settings for a system of one's own: an own virtual host, own databases, short times."""

    async def make(**more: Any) -> Settings:
        name = f"system_{uuid4().hex[:12]}"
        database = await support.create_database(servers, name, support.TEMPLATE)
        provider = await support.create_database(servers, f"{name}_provider", support.PROVIDER_TEMPLATE)
        vhost = await support.create_vhost(servers)
        _vhosts.append((servers, vhost))
        quick: dict[str, Any] = {
            "amqp_url": SecretStr(vhost),
            "database_url": SecretStr(database),
            "provider_database_url": SecretStr(provider),
            "rabbitmq_api": SecretStr(servers.rabbit.api_url),
            "tick_seconds": 0.05,
            "relay_after_seconds": 0.3,
            "lease_seconds": 2,
            "check_queues_seconds": 1,
            "breaker_rest_seconds": 0.5,
            "payments_slow_seconds": 0.8,
            "payments_provider_ms": 300,
            "video_rental_payment_ms": 700,
            "payments_refund_log": tmp_path_factory.mktemp("refunds") / "refunds.jsonl",
        }
        if elsewhere is not None:
            quick["context_database_urls"] = {name: SecretStr(url) for name, url in (await elsewhere.urls()).items()}
        return Settings(**(quick | more))

    return make


@pytest.fixture(scope="session")
def accounts_folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The passwords of every account: the towns of a suite share broker and database."""
    return Folder(tmp_path_factory.mktemp("accounts"))


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """Video rental at work, shared by the tests of a module."""
    running = await System(await make_settings(), "video_rental").open()
    await running.start(*running.names)
    yield running
    await running.close()
