"""`yeyak rebuild my_page`: rebuild a view from the journal while it goes on answering."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated

import typer

from ops.accounts.files import DATABASE, Folder
from ops.settings import SystemSettings, system_settings
from ops.terminal import echo
from storage.views import ViewDatabase
from workers.registry import workers
from workers.runtime.messaging.broker import Broker
from workers.runtime.messaging.errors import BROKER_ERRORS
from workers.runtime.messaging.rpc import RpcClient
from workers.runtime.projections.rebuild import RebuildFailed
from workers.runtime.projections.rebuild import rebuild as rebuild_view
from workers.runtime.projections.view import View


def register(app: typer.Typer) -> None:
    app.command()(rebuild)


def rebuild(view: Annotated[str, typer.Argument(help="a view, with or without its system: my_page")]) -> None:
    """Rebuild a view from the journal; it answers from the old rows until the new ones are complete."""
    views = {worker.name: worker for worker in workers() if isinstance(worker, View)}
    chosen = [worker for name, worker in views.items() if view in (name, name.rpartition(".")[2])]
    if len(chosen) != 1:
        sys.exit(f"{view} matches {len(chosen)} views; there are {', '.join(views)}")
    began = time.monotonic()
    try:
        applied = asyncio.run(_rebuild(chosen[0]))
    except (RebuildFailed, *BROKER_ERRORS) as error:
        sys.exit(f"{chosen[0].name} was not rebuilt: {error}")
    echo(f"{chosen[0].name}: {applied} events applied in {time.monotonic() - began:.1f} s")


def _database_of(view: View, configuration: SystemSettings) -> str:
    """The database URL with the view's own role, if this machine has it: the operator's role can only read."""
    folder = Folder.named()
    if folder is None or view.name in configuration.context_database_urls:
        return configuration.database_of(view.name)
    return folder.read(view.name).get(DATABASE) or configuration.database_of(view.name)


async def _rebuild(view: View) -> int:
    configuration = system_settings()
    broker = Broker(configuration.amqp_url.get_secret_value(), "rebuild")
    rpc = RpcClient(broker, configuration)
    store = ViewDatabase(view.tables, _database_of(view, configuration))
    store.open()
    try:
        await broker.connect()
        return await rebuild_view(view, store, broker, rpc)
    finally:
        await broker.stop()
        await store.close()
