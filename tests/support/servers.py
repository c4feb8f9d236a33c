"""The suite's own RabbitMQ and PostgreSQL, and new virtual hosts and databases on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx

from ops.stack.servers import PostgresServer, RabbitServer
from storage.migrations import migrate
from tests.support.rabbitmq4 import Rabbit4Server
from workers.registry import CONTEXTS

TEMPLATE, PROVIDER_TEMPLATE = "system_template", "provider_template"
MEMORY, PREFIX = Path("/dev/shm"), "yeyak-tests-"
ROOM = 4 * 2**30


@dataclass(frozen=True)
class Servers:
    """A private broker and database on free ports."""

    rabbit: RabbitServer
    postgres: PostgresServer

    def url_of(self, database: str) -> str:
        return self.postgres.url_of(database)


def make_templates(servers: Servers) -> None:
    """Migrate once; every system's database is a copy of the result."""
    for context in CONTEXTS:
        migrate(context, servers.url_of(TEMPLATE))
    migrate("provider", servers.url_of(PROVIDER_TEMPLATE))


async def create_database(servers: Servers, name: str, template: str = "template1") -> str:
    """A new database; returns its URL."""
    connection = await asyncpg.connect(servers.url_of("postgres"))
    try:
        await connection.execute(f'create database "{name}" template "{template}"')
    finally:
        await connection.close()
    return servers.url_of(name)


async def create_vhost(servers: Servers) -> str:
    """A new virtual host, empty; returns its AMQP URL."""
    name = f"test-{uuid4().hex[:12]}"
    async with httpx.AsyncClient(base_url=servers.rabbit.api_url, trust_env=False, timeout=60) as api:
        (await api.put(f"/api/vhosts/{name}")).raise_for_status()
        permissions = {"configure": ".*", "write": ".*", "read": ".*"}
        (await api.put(f"/api/permissions/{name}/{servers.rabbit.user}", json=permissions)).raise_for_status()
    return servers.rabbit.amqp_url + name


async def delete_vhost(servers: Servers, amqp_url: str) -> None:
    """Delete a virtual host with everything in it."""
    async with httpx.AsyncClient(base_url=servers.rabbit.api_url, trust_env=False, timeout=60) as api:
        await api.delete(f"/api/vhosts/{amqp_url.rpartition('/')[2]}")


async def drop_databases(servers: Servers, names: list[str]) -> None:
    """Drop databases, whoever is still connected to them: autovacuum's workers, too."""
    connection = await asyncpg.connect(servers.postgres.admin_url)
    try:
        for name in names:
            await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()


@contextmanager
def folder(otherwise: Path) -> Iterator[Path]:
    """A folder for the servers of this process: in memory where there is room, for it makes hundreds of databases."""
    _remove_leftovers()
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        yield otherwise
        return
    root = MEMORY / f"{PREFIX}{os.getpid()}"
    root.mkdir(mode=0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove the folders of suites that were killed."""
    for left in MEMORY.glob(f"{PREFIX}*"):
        if not Path(f"/proc/{left.name.removeprefix(PREFIX)}").exists():
            shutil.rmtree(left, ignore_errors=True)


def start(root: Path, broker: str = "") -> Servers:
    """Start both; they end with the process that starts them. `broker` is the version of RabbitMQ, if it matters."""
    from ops.stack.servers import start_all

    rabbit = (
        Rabbit4Server(Rabbit4Server.home_for(), die_with_parent=True)
        if broker == "4"
        else RabbitServer(root, die_with_parent=True)
    )
    servers = Servers(rabbit, PostgresServer(root, die_with_parent=True))
    start_all(servers.rabbit, servers.postgres)
    return servers
