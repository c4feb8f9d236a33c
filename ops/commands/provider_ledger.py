"""`yeyak provider-ledger`: print the ledger of the payment provider, from its own database."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import asyncpg
import typer

from ops.cli_support import configuration, fail
from ops.tables import print_table
from ops.terminal import echo

CHARGES = "select key::text, amount, captured, voided, refunded from provider.charges order by created_at, key"


def register(app: typer.Typer) -> None:
    app.command("provider-ledger")(provider_ledger)


def provider_ledger(as_json: Annotated[bool, typer.Option("--json", help="a JSON list")] = False) -> None:
    """Print every charge in the payment provider's ledger, oldest first; amounts in won."""
    try:
        charges = asyncio.run(read(configuration().provider_database))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"the provider's ledger cannot be read: {error}")
    if as_json:
        echo(json.dumps(charges, indent=1))
        return
    columns = ["key", "amount", "captured", "voided", "refunded"]
    print_table([*columns, "kept"], [[*map(charge.get, columns), kept(charge)] for charge in charges])
    echo(f"{len(charges)} charges, {sum(map(kept, charges))} won kept")


def kept(charge: dict[str, Any]) -> int:
    """The money that the provider keeps of a charge: captured, neither voided nor refunded; in won."""
    return int(charge["captured"] - charge["voided"] - charge["refunded"])


async def read(url: str) -> list[dict[str, Any]]:
    """Read all charges."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return [dict(row) for row in await connection.fetch(CHARGES)]
    finally:
        await connection.close()
