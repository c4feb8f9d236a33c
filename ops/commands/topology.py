"""`yeyak topology`: declare the exchanges, queues, bindings and users of the broker."""

from __future__ import annotations

import asyncio
import json
import sys

import typer

from ops.accounts import rights
from ops.accounts.files import Folder
from ops.accounts.plan import accounts
from ops.cli_support import administrator
from ops.settings import SystemSettings, system_settings
from ops.terminal import echo
from workers.registry import workers
from workers.runtime.messaging import topology
from workers.runtime.messaging.management import ManagementClient, ManagementUnavailable

topology_app = typer.Typer(no_args_is_help=True, help="Exchanges, queues and bindings of the system.")


def register(app: typer.Typer) -> None:
    app.add_typer(topology_app, name="topology")


@topology_app.command()
def apply() -> None:
    """Declare every exchange, queue and binding, and create the users of the accounts' folder."""
    configuration = administrator()
    queues = topology.plan(workers(), configuration.request_queue_type)
    try:
        asyncio.run(topology.apply(configuration.amqp_url.get_secret_value(), queues))
        users = asyncio.run(_make_users(configuration))
    except topology.QueueConflict as queue:
        sys.exit(
            f"queue {queue} exists with other arguments: wait until it is empty and delete it in the RabbitMQ console "
            "(this command then declares it again), or run `yeyak reset` on a local system"
        )
    except (OSError, topology.AMQPError) as error:
        sys.exit(f"the topology could not be applied: {error}")
    except ManagementUnavailable as error:
        sys.exit(f"the users could not be created: {error}")
    echo(f"{len(queues)} queues exist" + (f", {users} users exist" if users else ""))


async def _make_users(configuration: SystemSettings) -> int:
    folder = Folder.named()
    if folder is None:
        return 0
    async with ManagementClient(configuration, timeout=30.0) as api:
        return await rights.apply(api, accounts(workers()), folder.broker_user)


@topology_app.command()
def export() -> None:
    """Print the topology as RabbitMQ's definitions.json, with the passwords of the accounts' folder if there is one."""
    folder = Folder.named()
    queues = topology.plan(workers(), system_settings().request_queue_type)
    users = rights.definitions(accounts(workers()), "/", folder.broker_user if folder else lambda _: None)
    echo(json.dumps(users | topology.definitions(queues), indent=2, ensure_ascii=False))
