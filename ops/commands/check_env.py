"""`yeyak check-env`: check the environment of the system."""

from __future__ import annotations

import asyncio

import typer

from ops import environment
from ops.cli_support import configuration
from ops.stack.local import local
from ops.terminal import echo


def register(app: typer.Typer) -> None:
    app.command("check-env")(check_env)


def check_env() -> None:
    """Check every setting, connection, port and file; print the problems, a line each, and exit with 1 if any."""
    configured, here = configuration(), local()
    checked, problems = asyncio.run(environment.problems(configured, here))
    for problem in problems:
        echo(problem)
    if problems and "amqp_url" not in configured.model_fields_set and not here.supervisor_pid():
        echo("The system is down: `yeyak up` starts a broker and a database of its own.", err=True)
    if problems:
        raise typer.Exit(1)
    echo(f"{checked} checks, no problem")
