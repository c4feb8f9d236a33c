"""Differences between the databases that can store views: drivers, connection options and upserts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "mysql": "mariadb+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "sqlite": "sqlite+aiosqlite",
}
MARIADB = ("mysql", "mariadb")

_POSTGRESQL: dict[str, Any] = {
    "timeout": 5,
    "command_timeout": 20,
    "server_settings": {"application_name": "yeyak", "statement_timeout": "15s", "jit": "off"},
}
_MARIADB: dict[str, Any] = {
    "connect_timeout": 5,
    "charset": "utf8mb4",
    "init_command": "set time_zone = '+00:00', max_statement_time = 15, innodb_lock_wait_timeout = 10",
}


def with_driver(url: str) -> str:
    """A plain URL (`postgresql://`, `mysql://`, `sqlite:///`) with the async driver added."""
    scheme, colon, rest = url.partition(":")
    return DRIVERS.get(scheme, scheme) + colon + rest


def connect(url: str, schema: str, size: int) -> AsyncEngine:
    """An engine for a view's database, with a pool of at most `size` connections to a server; opens none yet."""
    address = sa.make_url(with_driver(url))
    if address.get_backend_name() == "sqlite":
        engine = create_async_engine(address)
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    arguments = _MARIADB
    if address.get_backend_name() == "postgresql":
        arguments = {**_POSTGRESQL, "server_settings": {**_POSTGRESQL["server_settings"], "search_path": schema}}
    return create_async_engine(
        address, pool_size=size, max_overflow=0, pool_timeout=10, pool_recycle=3600, connect_args=arguments
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Configure a connection: readers do not wait for a writer (WAL); a writer waits for another one."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma busy_timeout = 10000")


def _begin_sqlite(connection: sa.Connection) -> None:
    """Lock the file at the start of a transaction: SQLite cannot lock rows, and a batch must not miss a rebuild."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("begin immediate")


def prepare_mariadb(connection: sa.Connection, schema: str) -> None:
    """Set a collation that compares like PostgreSQL (case and trailing blanks), and serialise migrations by a lock."""
    connection.execute(sa.text("select get_lock(:name, 60)"), {"name": f"migrate {schema}"})
    connection.execute(sa.text("alter database character set = utf8mb4 collate = utf8mb4_nopad_bin"))


def upsert(table: sa.Table, dialect: str) -> Any:
    """An upsert that never replaces a newer version; a row whose key contains the version is left unchanged."""
    return _UPSERTS[dialect](table)


def _sqlite_upsert(table: sa.Table) -> Any:
    insert = sqlite.insert(table)
    if table.c.version.primary_key:
        return insert.on_conflict_do_nothing()
    return insert.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_={name: insert.excluded[name] for name in _changing(table)},
        where=table.c.version < insert.excluded.version,
    )


def _mariadb_upsert(table: sa.Table) -> Any:
    """MariaDB has no `where` in an upsert: each column compares versions, and the version itself is assigned last."""
    insert = mysql.insert(table)
    if table.c.version.primary_key:
        return insert.on_duplicate_key_update(version=table.c.version)
    newer = insert.inserted.version > table.c.version
    columns = sorted(_changing(table), key=lambda name: name == "version")
    return insert.on_duplicate_key_update(
        [(name, sa.func.if_(newer, insert.inserted[name], table.c[name])) for name in columns]
    )


def _changing(table: sa.Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key]


_UPSERTS: dict[str, Callable[[sa.Table], Any]] = {"sqlite": _sqlite_upsert, **dict.fromkeys(MARIADB, _mariadb_upsert)}
