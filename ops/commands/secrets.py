"""`yeyak secrets`: write the files that the servers of a deployment start with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.accounts.files import ADMINISTRATOR, AMQP, API, DATABASE, PROVIDER_DATABASE
from ops.stack.files import read_or_create_secret, write_atomically
from ops.terminal import echo

DATABASE_USER = "postgres"
FOR_SERVERS = 0o644
"""Readable for all: a server reads the file as a user of its own, and only the server mounts the folder."""


def register(app: typer.Typer) -> None:
    app.command()(secrets)


def secrets(
    folder: Annotated[Path, typer.Argument(help="where the files are written, one folder for each reader")],
    broker: Annotated[str, typer.Option(help="the broker's host name")] = "rabbitmq",
    database: Annotated[str, typer.Option(help="the database server's host name")] = "postgres",
) -> None:
    """Write the servers' passwords, the administrator's addresses and the signing key; existing secrets are kept."""
    files = written(folder, broker, database)
    echo(f"{len(files)} files are in {folder}")


def written(folder: Path, broker: str, database: str) -> list[Path]:
    """Write the files of the servers, the administrator, the gateway and the operator; returns their paths."""
    to_broker = read_or_create_secret(folder / ADMINISTRATOR / "broker_password")
    to_database = read_or_create_secret(folder / ADMINISTRATOR / "database_password")
    key = read_or_create_secret(folder / ADMINISTRATOR / "yeyak_jwt_key", n_bytes=48)
    sql = f"postgresql://{DATABASE_USER}:{to_database}@{database}:5432/yeyak"
    private = {
        f"{ADMINISTRATOR}/{AMQP}": f"amqp://{ADMINISTRATOR}:{to_broker}@{broker}:5672/",
        f"{ADMINISTRATOR}/{API}": f"http://{ADMINISTRATOR}:{to_broker}@{broker}:15672",
        f"{ADMINISTRATOR}/{DATABASE}": sql,
        f"{ADMINISTRATOR}/{PROVIDER_DATABASE}": f"{sql}_provider",
        "gateway/yeyak_jwt_key": key,
        "operator/yeyak_jwt_key": key,
    }
    for_servers = {"rabbitmq/90-system.conf": _broker_settings(to_broker), "postgres/password": to_database}
    for name, text in private.items():
        write_atomically(folder / name, text)
    for name, text in for_servers.items():
        write_atomically(folder / name, text, FOR_SERVERS)
    return [folder / name for name in (private | for_servers)]


def _broker_settings(password: str) -> str:
    settings = {
        "default_user": ADMINISTRATOR,
        "default_pass": password,
        "default_user_tags.administrator": "true",
        "log.console": "true",
        "prometheus.return_per_object_metrics": "false",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())
