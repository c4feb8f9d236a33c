"""`yeyak check-env`: whether the system could run here."""

from __future__ import annotations

import asyncio

import typer

from ops import environment
from ops.configured import configuration
from ops.stack.local import local


def register(app: typer.Typer) -> None:
    app.command("check-env")(check_env)


def check_env() -> None:
    """Try every setting, connection, port and file; name what is wrong, a line each, and end with 1 then."""
    configured, here = configuration(), local()
    tried, problems = asyncio.run(environment.problems(configured, here))
    for problem in problems:
        typer.echo(problem)
    if problems and "amqp_url" not in configured.model_fields_set and not here.supervisor_pid():
        typer.echo("The system is down: `yeyak up` starts a broker and a database of its own.", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{tried} things were tried, and all are well")
