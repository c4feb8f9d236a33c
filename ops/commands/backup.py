"""`yeyak backup FILE`: write the data of a local system to one file, while it runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.stack import backup as backups
from ops.stack.backup import BackupFailed
from ops.stack.local import local
from ops.stack.servers import ServerFailed
from ops.terminal import echo


def register(app: typer.Typer) -> None:
    app.command()(backup)


def backup(file: Annotated[Path, typer.Argument(help="a file that does not exist yet")]) -> None:
    """Write both databases and the refund log to one file. Passwords are not in it; customers' data is."""
    try:
        size = backups.write(local(), file)
    except (BackupFailed, ServerFailed, OSError) as failure:
        echo(f"yeyak: {failure}", err=True)
        raise typer.Exit(1) from None
    echo(f"{file} has {size / 1e6:.1f} MB")
