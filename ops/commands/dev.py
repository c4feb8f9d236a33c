"""`yeyak dev cafe.orders`: run one context in the foreground, restarted when a file changes, the rest beside it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from ops.cli_support import fail
from ops.stack import commands, control
from ops.stack.local import PROCESS_MARK, REPOSITORY, Local, inherited, local
from ops.terminal import echo
from workers.registry import CONTEXTS

WATCHED = ("contracts", "storage", "workers")
LOOK_SECONDS, END_SECONDS, COMMAND_SECONDS = 0.5, 20.0, 120.0
REFUND_LOG = "YEYAK_PAYMENTS_REFUND_LOG"


def register(app: typer.Typer) -> None:
    app.command()(dev)


def dev(context: Annotated[str, typer.Argument(help="the context to work on")]) -> None:
    """Run one context here, restarted when a file changes; `breakpoint()` stops in it. Ctrl-C gives it back."""
    if context not in CONTEXTS:
        fail(f"there is no context {context}; there are {', '.join(CONTEXTS)}")
    here = local()
    if here.supervisor_pid() is None:
        commands.up()
    _command(here, "stop", context)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            run_reloading([sys.executable, "-m", "workers", context], environment(here, context))
    finally:
        _command(here, "start", context)
        echo(f"{context} runs beside the others again")


def environment(here: Local, context: str) -> dict[str, str]:
    """The environment of a context's process: its account, and the health port that the supervisor would give it."""
    account = here.accounts / context
    own = {PROCESS_MARK: str(here.root), "YEYAK_PROCESS": f"{context} (dev)", "YEYAK_HEALTH_PORT": _port(here, context)}
    if not account.exists():
        return dict(os.environ) | here.read_env() | own
    log = {REFUND_LOG: here.read_env()[REFUND_LOG]} if REFUND_LOG in here.read_env() else {}
    return inherited() | log | own | {"YEYAK_SECRETS_DIR": str(account)}


def _port(here: Local, context: str) -> str:
    urls = [one["health_url"] for one in here.read_state().get("processes", []) if one["name"] == context]
    return urls[0].rpartition(":")[2] if urls else "0"


def run_reloading(argv: list[str], env: Mapping[str, str]) -> None:
    """Run a program until Ctrl-C, and again whenever a Python file has changed."""
    while True:
        seen = modified(REPOSITORY)
        child = subprocess.Popen(argv, env=env, cwd=REPOSITORY)
        try:
            changed = next(_changes(seen, child))
            echo(f"{changed} has changed")
            child.terminate()
        finally:
            _end(child)


def _changes(seen: dict[Path, int], child: subprocess.Popen[bytes]) -> Iterator[Path]:
    """The files that differ from `seen`, as they change."""
    told = False
    while True:
        time.sleep(LOOK_SECONDS)
        if child.poll() is not None and not told:
            told = True
            echo(f"it has ended ({child.returncode}) and starts again when a file changes")
        now = modified(REPOSITORY)
        for file, _ in now.items() ^ seen.items():
            yield file.relative_to(REPOSITORY)
        seen = now


def modified(root: Path) -> dict[Path, int]:
    """When each Python file of the workers was last modified, in nanoseconds."""
    found = {}
    for file in (file for folder in WATCHED for file in (root / folder).rglob("*.py")):
        with contextlib.suppress(OSError):  # it is being replaced
            found[file] = file.stat().st_mtime_ns
    return found


def _end(child: subprocess.Popen[bytes]) -> None:
    """Wait for a child that was told to end, by Ctrl-C or SIGTERM."""
    try:
        child.wait(END_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait()


def _command(here: Local, command: str, context: str) -> None:
    answer = control.send_command(here.root, command, context, COMMAND_SECONDS)
    if not answer or not answer["ok"]:
        fail(answer["error"] if answer else "the system is not up: `yeyak up` starts it")
