"""`yeyak demo`: play the stories of every business over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Annotated

import httpx
import typer

from ops.cli_support import configuration, fail
from ops.settings import SystemSettings
from ops.stack.local import local
from ops.stories.runner import TIMEOUT, Line, StoryFailedError, StoryRunner, issuer
from ops.terminal import echo
from workers.registry import SYSTEMS

STEP, HTTP, OUTCOME, TOOK = 40, 8, 38, 8


def register(app: typer.Typer) -> None:
    app.command()(demo)


def _name(story: ModuleType) -> str:
    return story.__name__.rpartition(".")[2]


def demo(
    businesses: Annotated[list[str] | None, typer.Argument(help=f"default: all of {', '.join(SYSTEMS)}")] = None,
    url: Annotated[str, typer.Option(help="the gateway; default: the local system's")] = "",
) -> None:
    """Play the stories over HTTP and print each step; exits with 1 at the first step that fails."""
    wanted = [name.replace("-", "_") for name in businesses or SYSTEMS]
    if unknown := set(wanted) - set(SYSTEMS):
        fail(f"there is no story of {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    configured = configuration()
    try:
        asyncio.run(play(configured, url or gateway_url(configured), wanted))
    except (StoryFailedError, ValueError) as failure:
        fail(f"the demo failed: {failure}")


def gateway_url(settings: SystemSettings) -> str:
    """The URL of the running system's gateway."""
    running = local().read_state().get("gateway_url") if local().supervisor_pid() else None
    host = settings.gateway_host if settings.gateway_host not in ("0.0.0.0", "::") else "127.0.0.1"
    return running or f"http://{host}:{settings.gateway_port}"


def stories(systems: Iterable[str] = SYSTEMS) -> list[ModuleType]:
    """The modules `ops/stories/<system>.py` that exist."""
    names = [f"ops.stories.{system}" for system in systems]
    return [import_module(name) for name in names if find_spec(name)]


async def play(settings: SystemSettings, url: str, systems: Iterable[str] = SYSTEMS) -> None:
    """Play the story of each system, one after another; raises StoryFailedError."""
    sign = issuer(settings)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False) as http:
        try:
            ready = (await http.get("/ready")).status_code == 200
        except httpx.HTTPError as error:
            raise StoryFailedError(f"no answer from {url}: is the system up? (`yeyak up`)") from error
        if not ready:
            raise StoryFailedError(f"the gateway at {url} is not ready: `yeyak status` shows why")
        for story in stories(systems):
            echo(f"{story.TITLE}, at {url}")
            echo(printed(Line("step", "HTTP", "outcome", -1)))
            await story.play(StoryRunner(http, settings, sign, lambda line: echo(printed(line))))
    echo("every step ended as expected")


def printed(line: Line) -> str:
    """Format a row of the table, at most 100 columns wide."""
    took = "took ms" if line.took_ms < 0 else f"{line.took_ms:.0f}" if line.took_ms else ""
    return f"{line.step:<{STEP}}  {line.http:<{HTTP}}  {line.outcome:<{OUTCOME}}  {took:>{TOOK}}".rstrip()
