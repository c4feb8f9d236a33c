"""`yeyak accounts`: write the folder with the addresses and passwords of every account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.accounts.files import Addresses, Folder
from ops.cli_support import fail
from ops.terminal import echo
from workers.registry import CONTEXTS

accounts_app = typer.Typer(no_args_is_help=True, help="Broker users and database roles, one of each for every context.")


def register(app: typer.Typer) -> None:
    app.add_typer(accounts_app, name="accounts")


@accounts_app.callback()
def accounts() -> None:
    """`topology apply` and `migrate` create these users and roles when YEYAK_ACCOUNTS_DIR names the folder."""


@accounts_app.command()
def write(
    folder: Annotated[Path, typer.Argument(help="created if it does not exist")],
    amqp: Annotated[str, typer.Option(help="URL that contains {user} and {password}")],
    database: Annotated[str, typer.Option(help="URL that contains {user} and {password}")],
    provider_database: Annotated[str, typer.Option(help="default: the database with the suffix `_provider`")] = "",
    api: Annotated[str, typer.Option(help="management API, for the operator and the console's operations page")] = "",
    move: Annotated[bool, typer.Option(help="rewrite every address; keep the passwords")] = False,
) -> None:
    """Write each account's addresses as files for `YEYAK_SECRETS_DIR`; existing files are kept."""
    for template in filter(None, (amqp, database, provider_database, api)):
        if "{user}" not in template or "{password}" not in template:
            fail("a template must contain {user} and {password}")
    addresses = Addresses(amqp, database, provider_database or f"{database}_provider", api)
    written = Folder(folder).write(CONTEXTS, addresses, move=move)
    echo(f"{written} files were written")
