"""The system in containers, where a container engine answers: what `yeyak` is told goes to `docker compose`.

`YEYAK_ENGINE` may be `compose` or `private`. Left out, a system stays what it was started as, and a new one is made of
containers if an engine answers.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from ops.stack.local import REPOSITORY, SERVER_ADDRESSES, Local

COMPOSE, PRIVATE = "compose", "private"
CHOICE = "YEYAK_ENGINE"
PATIENCE = 10.0
READY_SECONDS = "300"
BEGINNINGS = ("up", "run")
NAMES = {"gateway_api": "gateway", "postgresql": "postgres"}
STACK = {
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


def runs_the_system(here: Local, words: list[str]) -> bool:
    """Whether these words are for the engine; ends the command when the choice is none."""
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", COMPOSE, PRIVATE):
        sys.exit(f"yeyak: {CHOICE} is {COMPOSE} or {PRIVATE}, not {choice}")
    if choice or not words:
        return choice == COMPOSE and bool(words)
    if any(os.environ.get(name) for name in SERVER_ADDRESSES):
        return False
    if _mark(here).exists():
        return True
    return words[0] in BEGINNINGS and not here.env_file.exists() and answers()


def answers() -> bool:
    """Whether an engine with Compose is there and at work."""
    return all(_succeeds(*query) for query in (("compose", "version"), ("info",)))


def _succeeds(*words: str) -> bool:
    try:
        done = subprocess.run(["docker", *words], capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def take_over(here: Local, words: list[str]) -> NoReturn:
    """Become `docker compose` with what these words mean there."""
    if words[0] in BEGINNINGS:
        here.root.mkdir(parents=True, exist_ok=True)
        _mark(here).write_text("compose\n")
    if words[0] == "reset":
        _mark(here).unlink(missing_ok=True)
    command = ["docker", "compose", "--project-directory", str(REPOSITORY), *arguments(words)]
    os.execvp(command[0], command)


def arguments(words: list[str]) -> list[str]:
    """What `docker compose` is told for `yeyak WORDS`; whatever is no matter of the stack, the operator runs."""
    do, *names = words
    if do not in STACK:
        return [*OPERATOR, *words]
    if options := [name for name in names if name.startswith("-")]:
        sys.exit(f"yeyak: {do} {options[0]} is for a private system ({CHOICE}=private)")
    return [*STACK[do], *(NAMES.get(name, name).replace(".", "-").replace("_", "-") for name in names)]


def _mark(here: Local) -> Path:
    return here.root / "engine"
