"""`yeyak rebuild my_page`: build a view anew from the journal while it keeps answering."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated

import typer

from storage.views import ViewDatabase
from workers.runtime.asking import Asker
from workers.runtime.bus import BROKEN, Bus
from workers.runtime.rebuilding import RebuildFailed
from workers.runtime.rebuilding import rebuild as rebuild_view
from workers.runtime.settings import settings
from workers.runtime.view import View
from workers.town import workers


def register(app: typer.Typer) -> None:
    app.command()(rebuild)


def rebuild(view: Annotated[str, typer.Argument(help="a view, with or without its system: my_page")]) -> None:
    """Build a view anew from the journal; it keeps answering from the old rows until the new ones are complete."""
    views = {worker.name: worker for worker in workers() if isinstance(worker, View)}
    chosen = [worker for name, worker in views.items() if view in (name, name.rpartition(".")[2])]
    if len(chosen) != 1:
        sys.exit(f"{view} names {len(chosen)} views; there are {', '.join(views)}")
    began = time.monotonic()
    try:
        applied = asyncio.run(_rebuild(chosen[0]))
    except (RebuildFailed, *BROKEN) as error:
        sys.exit(f"{chosen[0].name} was not rebuilt: {error}")
    typer.echo(f"{chosen[0].name}: {applied} events applied in {time.monotonic() - began:.1f} s")


async def _rebuild(view: View) -> int:
    configuration = settings()
    bus = Bus(configuration.amqp_url.get_secret_value(), "rebuild")
    asker = Asker(bus, "rebuild", configuration)
    store = ViewDatabase(view.tables, configuration.database_of(view.name))
    store.open()
    try:
        await bus.start()
        await asker.start()
        return await rebuild_view(view, store, bus, asker)
    finally:
        await asker.stop()
        await bus.stop()
        await store.close()
