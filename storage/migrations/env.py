"""Alembic's environment: each run migrates one schema, which contains its version table."""

from __future__ import annotations

import asyncio
import zlib

import sqlalchemy as sa
from alembic import context
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from storage.dialects import MARIADB, prepare_mariadb, with_driver

SCHEMA: str = context.config.attributes["schema"]
LOCK_TIMEOUT: float = context.config.attributes["lock_timeout"]
"""Seconds that a statement waits for a lock, on PostgreSQL."""


def run(connection: sa.Connection) -> None:
    """Apply the revisions in one transaction, one migration at a time per schema."""
    on_postgresql = connection.dialect.name == "postgresql"
    if connection.dialect.name in MARIADB:
        prepare_mariadb(connection, SCHEMA)
    if on_postgresql:
        connection.execute(
            text("select set_config('lock_timeout', :ms, true), set_config('application_name', 'yeyak migrate', true)"),
            {"ms": f"{round(LOCK_TIMEOUT * 1000)}ms"},
        )
        connection.execute(
            text("select pg_advisory_xact_lock(:key)"), {"key": zlib.crc32(f"migrate {SCHEMA}".encode())}
        )
        connection.execute(text(f"create schema if not exists {SCHEMA}"))
        connection.execute(text(f"set local search_path to {SCHEMA}"))
    table = sa.table("alembic_version" if on_postgresql else f"{SCHEMA}_version", sa.column("version_num"))
    schema = SCHEMA if on_postgresql else None
    context.configure(
        connection=connection, transactional_ddl=True, version_table=table.name, version_table_schema=schema
    )
    with context.begin_transaction():
        _skip_folded(connection, table)
        context.run_migrations()


def _skip_folded(connection: sa.Connection, versions: sa.TableClause) -> None:
    """Note a revision that was folded into another one as that one.

    `folded` of a revision's module names revisions that it contains and that exist no more.
    """
    current = context.get_context().get_current_revision()
    for script in context.script.walk_revisions():
        if current in getattr(script.module, "folded", ()):
            connection.execute(versions.update().values(version_num=script.revision))


async def main() -> None:
    """Connect to the configured URL and apply the revisions."""
    url: str = context.config.attributes["url"]
    engine = create_async_engine(with_driver(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


asyncio.run(main())
