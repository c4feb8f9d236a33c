"""`yeyak accounts`: write the folder with the addresses and passwords of every account, and change a password."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.accounts.files import GATEWAY, OPERATOR, Addresses, Folder
from ops.cli_support import fail
from ops.stack import control
from ops.stack.local import local
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


@accounts_app.command()
def rotate(name: Annotated[str, typer.Argument(help="a context, `gateway` or `operator`")]) -> None:
    """Give an account of the local system another password on both servers, and restart what uses it."""
    folder = Folder.named()
    if folder is None:
        fail("there is no accounts folder: start the system (`yeyak up`), or set YEYAK_ACCOUNTS_DIR")
    try:
        folder.rotate(name, CONTEXTS)
    except KeyError:
        fail(f"there is no account {name}; there are {', '.join([*CONTEXTS, GATEWAY, OPERATOR])}")
    if local().supervisor_pid() is None:
        echo(f"{name} has a new password; the next `yeyak up` applies it")
        return
    from ops.commands import migrate, topology  # they import the whole system, which `write` does not need

    topology.apply()
    migrate.apply_roles()
    _restart({OPERATOR: "exporter"}.get(name, name))
    echo(f"{name} has a new password, and uses it")


def _restart(process: str) -> None:
    answer = control.send_command(local().root, "restart", process, timeout=300)
    if not answer or not answer["ok"]:
        fail(f"{process} must be restarted: {answer['error'] if answer else 'the supervisor does not answer'}")
