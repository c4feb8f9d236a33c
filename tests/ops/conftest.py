"""A seeded system for commands that read its stores, and copies of it that a test may change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from ops.settings import SystemSettings
from tests.ops.seed import BY_HAND, PRICE, seed
from tests.support import servers as support
from tests.support.servers import Servers


@dataclass(frozen=True)
class Seeded:
    """The stores of an idle system, and a rental of each kind in them."""

    settings: SystemSettings
    rentals: dict[str, UUID]

    async def rows(self, statement: str, *arguments: Any, provider: bool = False) -> list[Any]:
        """Run a statement in the system's database, or in the payment provider's."""
        settings = self.settings
        url = settings.provider_database if provider else settings.database_url.get_secret_value()
        connection = await asyncpg.connect(url)
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
        finally:
            await connection.close()
        return rows

    async def run(self, script: str, *, provider: bool = False) -> None:
        """Run a script in which `{booked}` and the like are ids of rentals."""
        settings = self.settings
        url = settings.provider_database if provider else settings.database_url.get_secret_value()
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(script.format(**self.rentals))
        finally:
            await connection.close()


@pytest.fixture(scope="session")
async def original(make_settings: Callable[..., Awaitable[SystemSettings]]) -> Seeded:
    """The seeded system that others are copied from; tests must not change it."""
    settings = await make_settings()
    stores = Seeded(settings, await seed(settings))
    write_refund_log(settings.payments_refund_log, await stores.rows("select refund_id, amount from payments.refunds"))
    return stores


def write_refund_log(path: Path, refunds: list[Any]) -> None:
    assert {row["amount"] for row in refunds} == {PRICE, BY_HAND}
    lines = [json.dumps({"refund_id": str(row["refund_id"]), "amount": row["amount"]}) + "\n" for row in refunds]
    path.write_text("".join(lines))


@pytest.fixture
async def stores(
    request: pytest.FixtureRequest, servers: Servers, original: Seeded, tmp_path: Path
) -> AsyncIterator[Seeded]:
    """A copy of the seeded system with its own databases; only the database that a `case` changes is copied."""
    name = f"copy_{uuid4().hex[:12]}"
    urls = {"database_url": original.settings.database_url.get_secret_value()}
    urls["provider_database_url"] = original.settings.provider_database
    if case := getattr(request.node, "callspec", None) and request.node.callspec.params.get("case"):
        del urls["database_url" if case.at_provider else "provider_database_url"]
    copies = {
        setting: SecretStr(await support.create_database(servers, f"{name}_{setting}", url.rpartition("/")[2]))
        for setting, url in urls.items()
    }
    log = tmp_path / "refunds.jsonl"
    log.write_text(original.settings.payments_refund_log.read_text())
    yield Seeded(original.settings.model_copy(update=copies | {"payments_refund_log": log}), original.rentals)
    connection = await asyncpg.connect(servers.url_of("postgres"))
    for setting in urls:
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):  # it is being vacuumed, by one we may not end
            await connection.execute(f"drop database {name}_{setting} with (force)")
    await connection.close()
