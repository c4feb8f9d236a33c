"""Runs the system in containers: translates `yeyak` commands to `docker compose`.

`YEYAK_ENGINE` is `compose` or `private`. Without it, a system keeps the engine that it was started with, and a new one
uses containers if a container engine is available.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from ops.stack.confirmation import NOTHING_DELETED, YES, agrees
from ops.stack.local import REPOSITORY, SERVER_ADDRESSES, Local

COMPOSE, PRIVATE = "compose", "private"
ENGINE_VARIABLE = "YEYAK_ENGINE"
TIMEOUT = 10.0
READY_SECONDS = "300"
START_COMMANDS = ("up", "run")
SERVICE_NAMES = {"gateway_api": "gateway", "postgresql": "postgres"}
COMPOSE_COMMANDS = {
    "up": ("up", "--detach", "--build", "--wait", "--wait-timeout", READY_SECONDS),
    "run": ("up", "--build"),
    "down": ("down", "--remove-orphans"),
    "reset": ("down", "--remove-orphans", "--volumes"),
    "logs": ("logs", "--follow", "--tail", "40"),
    "start": ("start",),
    "stop": ("stop",),
    "restart": ("restart",),
    "scale": ("up", "--detach", "--no-recreate", "--wait", "--scale"),
}
OPERATOR = ("run", "--rm", "operator", "yeyak")


def is_chosen(here: Local, argv: list[str]) -> bool:
    """Whether `docker compose` is to run this command; exits when YEYAK_ENGINE has another value."""
    choice = os.environ.get(ENGINE_VARIABLE, "")
    if choice not in ("", COMPOSE, PRIVATE):
        sys.exit(f"yeyak: {ENGINE_VARIABLE} is {COMPOSE} or {PRIVATE}, not {choice}")
    if choice or not argv:
        return choice == COMPOSE and bool(argv)
    if any(os.environ.get(name) for name in SERVER_ADDRESSES):
        return False
    if _marker(here).exists():
        return True
    return argv[0] in START_COMMANDS and not here.env_file.exists() and is_available()


def is_available() -> bool:
    """Whether a running container engine with Compose is there."""
    return all(_succeeds(*query) for query in (("compose", "version"), ("info",)))


def _succeeds(*argv: str) -> bool:
    try:
        done = subprocess.run(["docker", *argv], capture_output=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def exec_compose(here: Local, argv: list[str]) -> NoReturn:
    """Replace this process by `docker compose` with the arguments that the command stands for."""
    if argv[0] in START_COMMANDS:
        here.root.mkdir(parents=True, exist_ok=True)
        _marker(here).write_text("compose\n")
    if argv[0] == "reset":
        if YES not in argv and not agrees("Delete all data of the containers?"):
            sys.exit(f"yeyak: {NOTHING_DELETED}")
        _marker(here).unlink(missing_ok=True)
    command = ["docker", "compose", "--project-directory", str(REPOSITORY), *arguments(argv)]
    os.execvp(command[0], command)


def arguments(argv: list[str]) -> list[str]:
    """The arguments of `docker compose` for `yeyak ARGV`; other commands than the stack's run in `operator`."""
    command, *names = [word for word in argv if argv[0] != "reset" or word != YES]
    if command not in COMPOSE_COMMANDS:
        return [*OPERATOR, *argv]
    if options := [name for name in names if name.startswith("-")]:
        sys.exit(f"yeyak: {command} {options[0]} is for a private system ({ENGINE_VARIABLE}=private)")
    return [
        *COMPOSE_COMMANDS[command],
        *(SERVICE_NAMES.get(name, name).replace(".", "-").replace("_", "-") for name in names),
    ]


def _marker(here: Local) -> Path:
    return here.root / "engine"
