"""`yeyak provider-ledger`: what the payment provider remembers, from its own database."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import asyncpg
import typer

from ops.configured import configuration, fail
from ops.tables import show

CHARGES = "select key::text, amount, captured, voided, refunded from provider.charges order by created_at, key"


def register(app: typer.Typer) -> None:
    app.command("provider-ledger")(provider_ledger)


def provider_ledger(as_json: Annotated[bool, typer.Option("--json", help="a JSON list")] = False) -> None:
    """Every charge in the payment provider's ledger, oldest first; amounts in won."""
    try:
        charges = asyncio.run(read(configuration().provider_database))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"the provider's ledger cannot be read: {error}")
    if as_json:
        typer.echo(json.dumps(charges, indent=1))
        return
    columns = ["key", "amount", "captured", "voided", "refunded"]
    show([*columns, "kept"], [[*map(charge.get, columns), kept(charge)] for charge in charges])
    typer.echo(f"{len(charges)} charges, {sum(map(kept, charges))} won kept")


def kept(charge: dict[str, Any]) -> int:
    """What the provider took and did not give up or back, in won."""
    return int(charge["captured"] - charge["voided"] - charge["refunded"])


async def read(url: str) -> list[dict[str, Any]]:
    """The charges as the provider remembers them."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return [dict(row) for row in await connection.fetch(CHARGES)]
    finally:
        await connection.close()
