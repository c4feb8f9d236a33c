"""Runs the commands that must succeed before any process starts: migrations and topology."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from ops.stack.files import last_line, rotate
from ops.stack.local import PROCESS_MARK, REPOSITORY, Local, inherited
from ops.stack.process_specs import Preparation, StartFailed
from ops.stack.processes import dying_with_parent


async def prepare(step: Preparation, env: Mapping[str, str], here: Local, stopping: asyncio.Event) -> None:
    """Run a command until it ends or the system is stopped; raises StartFailed when it fails."""
    log = here.log_of(step.name)
    process = await _started(step.argv, env, here, log)
    stop = asyncio.create_task(stopping.wait())
    end = asyncio.create_task(process.wait())
    await asyncio.wait([stop, end], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not end.done():
        process.terminate()
    elif end.result():
        raise StartFailed(f"{step.name} failed ({last_line(log)}): read {log}")


async def _started(argv: list[str], env: Mapping[str, str], here: Local, log: Path) -> asyncio.subprocess.Process:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rotate(log)
    with log.open("ab") as stream:
        return await asyncio.create_subprocess_exec(
            *argv,
            env={**inherited(), **env, PROCESS_MARK: str(here.root)},
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=dying_with_parent(os.getpid()),
        )
