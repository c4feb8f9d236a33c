"""`yeyak migrate` and `yeyak topology`: what must be there before any process starts."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated

import asyncpg
import typer
from sqlalchemy.exc import SQLAlchemyError

from storage.migrations import migrate as migrate_schema
from workers.runtime import topology
from workers.runtime.settings import settings
from workers.town import CONTEXTS, workers

topology_app = typer.Typer(no_args_is_help=True, help="Exchanges, queues and bindings of the town.")


def register(app: typer.Typer) -> None:
    app.command()(migrate)
    app.add_typer(topology_app, name="topology")


def migrate(of: Annotated[str | None, typer.Argument(help="one context; all when left out")] = None) -> None:
    """Bring every schema up to date; run as often as you like."""
    configuration = settings()
    databases = {name: configuration.database_of(name) for name in CONTEXTS} | {
        "provider": configuration.provider_database
    }
    if of is not None and of not in databases:
        sys.exit(f"no context is called {of}; there are {', '.join(databases)}")
    chosen = databases if of is None else {of: databases[of]}
    try:
        for url in set(chosen.values()):
            asyncio.run(_create_database(url))
        for name, url in chosen.items():
            migrate_schema(name, url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError) as error:
        sys.exit(f"the database could not be prepared: {error}")
    typer.echo(f"{len(chosen)} schemas are up to date")


async def _create_database(url: str) -> None:
    """Create the database of a URL if the server has none of that name."""
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
    """Assert every exchange, queue and binding."""
    configuration = settings()
    queues = topology.plan(workers(), configuration.asked_queue_type)
    try:
        asyncio.run(topology.apply(configuration.amqp_url.get_secret_value(), queues))
    except topology.Different as queue:
        sys.exit(
            f"the queue {queue} is there, made of other stuff: let its messages be read and delete it in the console "
            "(its readers and its binding come back with this command), or run `yeyak reset` on a local town"
        )
    except (OSError, topology.AMQPError) as error:
        sys.exit(f"the topology could not be applied: {error}")
    typer.echo(f"{len(queues)} queues are there")


@topology_app.command()
def export() -> None:
    """Print the topology as RabbitMQ's definitions.json."""
    queues = topology.plan(workers(), settings().asked_queue_type)
    typer.echo(json.dumps(topology.definitions(queues), indent=2, ensure_ascii=False))
