"""`yeyak restore FILE`: replace the data of the local system by a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ops.stack import backup, commands
from ops.stack.backup import BackupFailed
from ops.stack.confirmation import YES, agrees
from ops.stack.local import local
from ops.stack.servers import ServerFailed
from ops.terminal import echo


def register(app: typer.Typer) -> None:
    app.command()(restore)


def restore(
    file: Annotated[Path, typer.Argument(help="what `yeyak backup` wrote")],
    yes: Annotated[bool, typer.Option(YES, help="do not ask")] = False,
) -> None:
    """Replace all data by a backup and empty the queues; a system that was up is started again."""
    here = local()
    try:
        backup.check(file)
        if not yes and here.env_file.exists() and not agrees(f"Replace all data in {here.root} by {file}?"):
            _fail(f"nothing was changed: `yeyak restore {file} {YES}` does not ask")
        was_up = here.supervisor_pid() is not None
        commands.down()
        backup.restore(here, file)
    except (BackupFailed, ServerFailed, OSError) as failure:
        _fail(str(failure))
    echo(f"the data of {file} is restored" + ("" if was_up else ": `yeyak up` starts the system"))
    if was_up:
        commands.up()


def _fail(message: str) -> NoReturn:
    echo(f"yeyak: {message}", err=True)
    raise typer.Exit(1) from None
