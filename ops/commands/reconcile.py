"""`yeyak reconcile`: compare the payment provider's list of charges with our payments, by day."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import asyncpg
import typer

from ops.cli_support import configuration, fail
from ops.settings import SystemSettings
from ops.tables import print_table
from ops.terminal import echo
from storage.database import Database
from workers.payments import reconciliation
from workers.payments.base import provider_of
from workers.payments.reconciliation import SEOUL, Comparison, Difference

DAY = "a day of Seoul, e.g. 2030-01-31"


def register(app: typer.Typer) -> None:
    app.command()(reconcile)


def reconcile(
    first: Annotated[str, typer.Option("--from", help=DAY)] = "",
    last: Annotated[str, typer.Option("--to", help=DAY)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="the days as JSON")] = False,
) -> None:
    """Compare the provider's charges with our payments; exits with 1 on a difference. Without days: yesterday.

    It changes nothing. What it finds of a past day, `payments` finds by itself and records for staff.
    """
    begin, end = _days(first, last)
    try:
        comparisons = asyncio.run(_compare(configuration(), begin, end))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"the payments cannot be read: {error}")
    except Exception as error:  # whatever the provider's SDK raises
        fail(f"the provider's list cannot be read: {type(error).__name__}: {error}")
    if as_json:
        echo(json.dumps([_as_json(one) for one in comparisons], indent=1))
    else:
        _print(comparisons)
    if any(one.differences for one in comparisons):
        raise typer.Exit(1)


def _days(first: str, last: str) -> tuple[date, date]:
    yesterday = datetime.now(SEOUL).date() - timedelta(days=1)
    try:
        begin = date.fromisoformat(first) if first else date.fromisoformat(last) if last else yesterday
        end = date.fromisoformat(last) if last else begin
    except ValueError:
        fail(f"--from and --to are {DAY}")
    if begin > end:
        fail("--from is after --to")
    return begin, end


async def _compare(settings: SystemSettings, begin: date, end: date) -> list[Comparison]:
    database = Database(settings.database_of("payments"), size=2)
    await database.start()
    provider = await provider_of(settings)
    try:
        days = [begin + timedelta(days=number) for number in range((end - begin).days + 1)]
        return [await reconciliation.compare(provider, database, day) for day in days]
    finally:
        await provider.close()
        await database.close()


def _print(comparisons: list[Comparison]) -> None:
    rows = [[str(one.day), one.charges, one.captured, one.given_back, len(one.differences)] for one in comparisons]
    print_table(["day", "charges", "captured", "given back", "differences"], rows)
    for comparison in comparisons:
        for difference in comparison.differences:
            echo(f"{comparison.day}  {_sentence(difference)}")


def _sentence(difference: Difference) -> str:
    kinds = [f"{kind} {amount} won" for kind, amount in difference.kinds.items()]
    if difference.is_late:
        kinds.append("charged after it was voided")
    return f"{difference.payment_id or 'no payment'} ({difference.reference}): {', '.join(kinds)}"


def _as_json(comparison: Comparison) -> dict[str, Any]:
    return {
        "day": str(comparison.day),
        "charges": comparison.charges,
        "captured": comparison.captured,
        "given_back": comparison.given_back,
        "differences": [
            {
                "payment_id": str(one.payment_id) if one.payment_id else None,
                "reference": one.reference,
                "kinds": one.kinds,
                "charged_after_void": one.is_late,
            }
            for one in comparison.differences
        ],
    }
