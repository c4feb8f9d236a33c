"""Every list of a writer is a statement that its schema can answer, with and without filters and a cursor."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import asyncpg
import pytest

import storage
from storage import paging
from tests.support import servers as support
from tests.support.servers import Servers

LISTS = {
    f"{module.name}.{name}": found
    for module in pkgutil.walk_packages(storage.__path__, "storage.")
    if not module.name.startswith("storage.migrations")
    for name, found in vars(importlib.import_module(module.name)).items()
    if isinstance(found, paging.Newest)
}


@pytest.fixture
async def connection(servers: Servers, templates: None) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(await support.create_database(servers, "lists", support.TEMPLATE))
    yield connection
    await connection.close()


async def test_every_list_is_answered_by_its_schema(connection: asyncpg.Connection) -> None:
    cursor = paging.encode(datetime.now(UTC), uuid4())

    for newest in LISTS.values():
        filters = dict.fromkeys(newest.filters, "any")
        for given in ({}, filters, {"cursor": cursor}, {**filters, "cursor": cursor}):
            query = SimpleNamespace(**{"limit": 50, "cursor": None, **given})
            statement, _ = newest.read(query)
            await connection.prepare(statement.text)

    assert len(LISTS) > 20


def test_what_is_none_in_a_query_restricts_nothing() -> None:
    orders = LISTS["storage.shop.orders._NEWEST"]

    statement, _ = orders.read(SimpleNamespace(member_id=None, status=None, cursor=None, limit=2))

    assert "member_id =" not in statement.text
    assert "status =" not in statement.text
