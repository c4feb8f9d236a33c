"""`yeyak migrate` and `yeyak topology`: what must exist before any process starts."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import asyncpg
import typer
from sqlalchemy.exc import SQLAlchemyError

from ops.accounts import rights, roles
from ops.accounts.files import ADMINISTRATOR, PROVIDER, Folder
from ops.accounts.plan import accounts
from ops.settings import SystemSettings, system_settings
from ops.terminal import echo
from storage.migrations import migrate as migrate_schema
from storage.migrations.locks import LockPolicy, LocksNotGranted
from workers.registry import CONTEXTS, workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable

topology_app = typer.Typer(no_args_is_help=True, help="Exchanges, queues and bindings of the system.")


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.add_typer(topology_app, name="topology")


def migrate(
    context: Annotated[str | None, typer.Argument(help="one context; default: all")] = None,
    patience: Annotated[
        float, typer.Option(help="seconds in which a schema whose tables are in use is tried again", min=0)
    ] = LockPolicy.patience,
) -> None:
    """Migrate every schema and create the roles of the accounts' folder; can be repeated."""
    configuration = administrator()
    databases = {name: configuration.database_of(name) for name in CONTEXTS} | {
        PROVIDER: configuration.provider_database
    }
    if context is not None and context not in databases:
        sys.exit(f"there is no context {context}; there are {', '.join(databases)}")
    chosen = databases if context is None else {context: databases[context]}
    try:
        for url in set(chosen.values()):
            asyncio.run(_create_database(url))
        for name, url in chosen.items():
            migrate_schema(name, url, policy=LockPolicy(patience=patience), report=echo)
        made = asyncio.run(_make_roles(chosen))
    except LocksNotGranted as error:
        sys.exit(str(error))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
        sys.exit(f"the database could not be prepared: {error}")
    echo(f"{len(chosen)} schemas are up to date" + (f", {made} roles exist" if made else ""))


def administrator() -> SystemSettings:
    """The settings with the addresses of `administrator/` in the accounts' folder, where it exists."""
    folder = Folder.named()
    return SystemSettings.read(**folder.settings_of(ADMINISTRATOR)) if folder else system_settings()


async def _make_roles(databases: dict[str, str]) -> int:
    folder = Folder.named()
    if folder is None:
        return 0
    made = 0
    for url in {url for url in databases.values() if url.startswith("postgresql://")}:
        made += await roles.apply(url, [name for name, address in databases.items() if address == url], folder)
    return made


async def _create_database(url: str) -> None:
    """Create the database of a URL unless it exists."""
    if not url.startswith("postgresql://"):
        return
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except asyncpg.InvalidCatalogNameError:
        server, _, name = url.rpartition("/")
        connection = await asyncpg.connect(f"{server}/postgres", timeout=10)
        await connection.execute('create database "{}"'.format(name.partition("?")[0].replace('"', '""')))
    await connection.close()


@topology_app.command()
def apply() -> None:
    """Declare every exchange, queue and binding, and create the users of the accounts' folder."""
    configuration = administrator()
    queues = topology.plan(workers(), configuration.request_queue_type)
    try:
        asyncio.run(topology.apply(configuration.amqp_url.get_secret_value(), queues))
        users = asyncio.run(_make_users(configuration))
    except topology.QueueConflict as queue:
        sys.exit(
            f"queue {queue} exists with other arguments: wait until it is empty and delete it in the RabbitMQ console "
            "(this command then declares it again), or run `yeyak reset` on a local system"
        )
    except (OSError, topology.AMQPError) as error:
        sys.exit(f"the topology could not be applied: {error}")
    except ManagementUnavailable as error:
        sys.exit(f"the users could not be created: {error}")
    echo(f"{len(queues)} queues exist" + (f", {users} users exist" if users else ""))


async def _make_users(configuration: SystemSettings) -> int:
    folder = Folder.named()
    if folder is None:
        return 0
    async with ManagementClient(configuration, timeout=30.0) as api:
        return await rights.apply(api, accounts(workers()), folder.broker_user)


@topology_app.command()
def export() -> None:
    """Print the topology as RabbitMQ's definitions.json, with the passwords of the accounts' folder if there is one."""
    folder = Folder.named()
    queues = topology.plan(workers(), system_settings().request_queue_type)
    users = rights.definitions(accounts(workers()), "/", folder.broker_user if folder else lambda _: None)
    echo(json.dumps(users | topology.definitions(queues), indent=2, ensure_ascii=False))
