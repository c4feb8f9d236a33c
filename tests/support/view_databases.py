"""Views in another kind of database, for the suites that are run with `--views mariadb` or `--views sqlite`."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from storage.dialects import with_driver
from storage.migrations import migrate
from storage.views import ViewDatabase
from tests.support.mariadb import MariaServer
from workers.registry import workers
from workers.runtime.projections.rebuild import rebuild
from workers.runtime.projections.view import View

if TYPE_CHECKING:
    from tests.support.system import System

KINDS = ("postgresql", "mariadb", "sqlite")
VIEWS = {view.name: view for view in workers() if isinstance(view, View)}


class ViewDatabases:
    """Databases of another kind for views; each view is migrated once, and its tables are copied for each system."""

    def __init__(self, kind: str, home: Path) -> None:
        self._kind = kind
        self._home = home
        self._server = MariaServer(home) if kind == "mariadb" else None
        self._templates: dict[str, str] = {}

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()

    async def urls(self) -> dict[str, str]:
        """A new database for each view, by its context."""
        system = uuid4().hex[:12]
        return {name: await self.url_of(name, system) for name in VIEWS}

    async def url_of(self, view: str, system: str) -> str:
        """A new database for one view."""
        schema = VIEWS[view].schema
        name = f"{schema}_{system}"
        if self._server is None:
            template, copy = self._home / f"{schema}.db", self._home / f"{name}.db"
            if view not in self._templates:
                self._templates[view] = f"sqlite:///{template}"
                await asyncio.to_thread(migrate, view, self._templates[view])
            await asyncio.to_thread(shutil.copy, template, copy)
            return f"sqlite:///{copy}"
        if view not in self._templates:
            self._templates[view] = self._server.url_of(schema)
            await self._server.run(f"create database `{schema}`")
            await asyncio.to_thread(migrate, view, self._templates[view])
        return await self._server.copy(schema, name)


class ViewReader:
    """Runs queries on the tables of views in any kind of database; tables are named `schema.table`."""

    def __init__(self) -> None:
        self._engines: dict[str, AsyncEngine] = {}

    async def rows(self, url: str, view: str, query: str, arguments: Sequence[Any]) -> list[Any]:
        """Run a query with `$1` for its first argument; returns rows as dictionaries. A change is committed."""
        if url not in self._engines:
            self._engines[url] = create_async_engine(with_driver(url))
        engine, tables = self._engines[url], VIEWS[view].tables
        text = sa.text(re.sub(r"\$(\d)", r":p\1", query).replace(f"{tables.schema}.", ""))
        values = {f"p{place}": _stored(value) for place, value in enumerate(arguments, 1)}
        types = {column.name: column.type for table in tables.metadata.sorted_tables for column in table.columns}
        async with engine.begin() as connection:
            result = await connection.execute(text, values)
            if not result.returns_rows:
                return []
            return [
                {name: _loaded(types.get(name), value, engine.dialect) for name, value in row.items()}
                for row in result.mappings()
            ]

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.dispose()


def _stored(value: Any) -> Any:
    return value.hex if isinstance(value, UUID) else value


def _loaded(kind: sa.types.TypeEngine[Any] | None, value: Any, dialect: sa.Dialect) -> Any:
    read = kind.dialect_impl(dialect).result_processor(dialect, None) if kind is not None else None
    return read(value) if read is not None and value is not None else value


async def rows_of(system: System, name: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a view's current generation, by table, without the number of the generation."""
    tables, url = VIEWS[name].tables, system.settings.database_of(name)
    schema = tables.schema if url.startswith("postgresql://") else None
    engine = create_async_engine(with_driver(url)).execution_options(schema_translate_map={None: schema})
    found: dict[str, list[dict[str, Any]]] = {}
    async with engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            if "generation" in table.c:
                columns = [column for column in table.columns if column.name != "generation"]
                current = sa.select(*columns).where(table.c.generation == tables.current())
                rows = (await connection.execute(current)).mappings()
                found[table.name] = sorted(map(dict, rows), key=str)
    await engine.dispose()
    return found


async def rebuild_view(system: System, name: str) -> int:
    """Rebuild a view from the journal, as `yeyak rebuild` does; returns the number of events that were applied."""
    view = VIEWS[name]
    store = ViewDatabase(view.tables, system.settings.database_of(name))
    store.open()
    try:
        return await rebuild(view, store, system.broker, system.rpc)
    finally:
        await store.close()


def is_moved(system: System, query: str) -> bool:
    """Whether a query names the tables of a view that lives in another database than its writers."""
    moved = [view.schema for name, view in VIEWS.items() if name in system.settings.context_database_urls]
    return any(schema in query for schema in moved)
