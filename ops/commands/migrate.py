"""`yeyak migrate`: migrate the schema of every context and create the database roles."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import asyncpg
import typer
from sqlalchemy.exc import SQLAlchemyError

from ops.accounts import roles
from ops.accounts.files import PROVIDER, Folder
from ops.cli_support import administrator
from ops.terminal import echo
from storage.migrations import migrate as migrate_schema
from storage.migrations.locks import LockPolicy, LocksNotGranted
from workers.registry import CONTEXTS


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    context: Annotated[str | None, typer.Argument(help="one context; default: all")] = None,
    patience: Annotated[
        float, typer.Option(help="seconds in which a schema whose tables are in use is tried again", min=0)
    ] = LockPolicy.patience,
) -> None:
    """Migrate every schema and create the roles of the accounts' folder; can be repeated."""
    databases = _databases()
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


def apply_roles() -> None:
    """Give the roles of the accounts' folder the passwords that are written there."""
    try:
        made = asyncio.run(_make_roles(_databases()))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(f"the roles could not be changed: {error}")
    echo(f"{made} roles exist")


def _databases() -> dict[str, str]:
    configuration = administrator()
    return {name: configuration.database_of(name) for name in CONTEXTS} | {PROVIDER: configuration.provider_database}


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
