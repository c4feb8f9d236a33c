"""`yeyak accounts`: the folder with everybody's addresses and passwords."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.accounts.files import Addresses, Folder
from ops.configured import fail
from workers.registry import CONTEXTS

accounts_app = typer.Typer(no_args_is_help=True, help="A broker's user and a database role for each context.")


def register(app: typer.Typer) -> None:
    app.add_typer(accounts_app, name="accounts")


@accounts_app.callback()
def accounts() -> None:
    """`topology apply` and `migrate` make what is written there, when YEYAK_ACCOUNTS_DIR names the folder."""


@accounts_app.command()
def write(
    folder: Annotated[Path, typer.Argument(help="made when it is missing")],
    amqp: Annotated[str, typer.Option(help="with {user} and {password} in it")],
    database: Annotated[str, typer.Option(help="with {user} and {password} in it")],
    provider_database: Annotated[str, typer.Option(help="the database with `_provider` behind it when left out")] = "",
    api: Annotated[
        str, typer.Option(help="the management API, for the operator and the gateway's operators' page")
    ] = "",
    move: Annotated[bool, typer.Option(help="write every address anew; passwords stay")] = False,
) -> None:
    """Write each account's addresses as files that `YEYAK_SECRETS_DIR` reads; what is there already is kept."""
    for template in filter(None, (amqp, database, provider_database, api)):
        if "{user}" not in template or "{password}" not in template:
            fail("a template must hold {user} and {password}")
    addresses = Addresses(amqp, database, provider_database or f"{database}_provider", api)
    written = Folder(folder).write(CONTEXTS, addresses, move=move)
    typer.echo(f"{written} files were written")
