"""`yeyak drill`: cause failures on the local system and check how it copes."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import httpx
import typer

from ops.cli_support import configuration, fail
from ops.drills import DRILLS
from ops.drills.local_system import DrillFailedError, LocalSystem, Result
from ops.drills.siege import NoSiegeError
from ops.settings import SystemSettings
from ops.stack.local import local
from ops.terminal import echo
from workers.runtime.messaging.management import ManagementUnavailable

AT_MOST = 300.0
"""Seconds for one drill."""


def register(app: typer.Typer) -> None:
    app.command()(drill)


def drill(
    names: Annotated[list[str] | None, typer.Argument(help=f"default: all of {', '.join(DRILLS)}")] = None,
) -> None:
    """Run drills and print a pass table; needs `YEYAK_GATEWAY_RATE=0 yeyak up --replicas 2`. Exits with 1 on a FAIL."""
    unknown = set(names or ()) - set(DRILLS)
    if unknown:
        fail(f"there is no drill {', '.join(sorted(unknown))}; there are {', '.join(DRILLS)}")
    if not asyncio.run(_run_all(configuration(), names or list(DRILLS))):
        raise typer.Exit(1)


async def _run_all(settings: SystemSettings, names: list[str]) -> bool:
    here = local()
    state = here.read_state() if here.supervisor_pid() else {}
    if not any(one["name"] == "balancer" for one in state.get("processes", [])):
        fail("the system has no replicas: `yeyak down`, then `YEYAK_GATEWAY_RATE=0 yeyak up --replicas 2`")
    passed = True
    url = str(state["gateway_url"])
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        system = LocalSystem(settings, here, http, url)
        for name in names:
            began = time.monotonic()
            result = await _run(system, name)
            verdict, took = "pass" if result.passed else "FAIL", time.monotonic() - began
            echo(f"{verdict}  {name:<18} {took:4.0f} s  {result.figures}")
            passed = passed and result.passed
    return passed


async def _run(system: LocalSystem, name: str) -> Result:
    try:
        async with asyncio.timeout(AT_MOST):
            return await DRILLS[name](system)
    except TimeoutError:
        return Result(False, f"not over after {AT_MOST:.0f} s")
    except NoSiegeError as missing:
        fail(str(missing))
    except (DrillFailedError, ManagementUnavailable, httpx.HTTPError, OSError) as failure:
        return Result(False, str(failure) or type(failure).__name__)
