"""What differs between the databases that views may live in: drivers, connections, the upsert that keeps the newest."""

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
    """A plain URL (`postgresql://`, `mysql://`, `sqlite:///`) with the driver that is used here."""
    scheme, colon, rest = url.partition(":")
    return DRIVERS.get(scheme, scheme) + colon + rest


def connect(url: str, schema: str, size: int) -> AsyncEngine:
    """Connections to a view's database, at most `size` where it is a server; none is made yet."""
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
    """Readers do not wait for who writes; who writes waits for another."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma busy_timeout = 10000")


def _begin_sqlite(connection: sa.Connection) -> None:
    """A change has the file to itself from the start: rows cannot be locked, and a batch must not miss a rebuild."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("begin immediate")


def prepare_mariadb(connection: sa.Connection, schema: str) -> None:
    """Names that differ in case or by a blank are different, as in PostgreSQL; two migrations wait for each other."""
    connection.execute(sa.text("select get_lock(:name, 60)"), {"name": f"migrate {schema}"})
    connection.execute(sa.text("alter database character set = utf8mb4 collate = utf8mb4_nopad_bin"))


def upsert(table: sa.Table, dialect: str) -> Any:
    """Keep the newest state of each key; a row whose version is part of its key stays as it is."""
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
    """There is no `where` here: each column looks at the version, which is changed last because all others read it."""
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
