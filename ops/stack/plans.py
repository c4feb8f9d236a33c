"""What the town is made of: which processes, with which commands, on which ports."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.stack.children import Plan
from ops.stack.local import REPOSITORY, Local
from ops.stack.ports import is_free, kept_ports

GATEWAY = "gateway"
GATEWAY_PORT = 8088


class TownFailed(Exception):
    """One sentence: why the town cannot start, and which log to read."""


@dataclass(frozen=True)
class Commands:
    """What the town is made of; tests give their own."""

    prepare: list[list[str]]
    workers: Mapping[str, list[str]]
    gateway: list[str] | None


def real_commands() -> Commands:
    python, yeyak = sys.executable, [sys.executable, "-m", "ops.cli"]
    return Commands(
        prepare=[[*yeyak, "migrate"], [*yeyak, "topology", "apply"]],
        workers={context: [python, "-m", "workers", context] for context in contexts_of_the_town()},
        gateway=[python, "-m", "gateway_api"],
    )


def contexts_of_the_town() -> list[str]:
    """Read in a process of its own: the supervisor stays small, and outlives a broken import."""
    program = "import json, workers.town as town; print(json.dumps(list(town.CONTEXTS)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise TownFailed(f"workers/town.py cannot be read ({reason})")
    return list(json.loads(result.stdout.splitlines()[-1]))


def plans(commands: Commands, here: Local, *, accounts: Path | None) -> list[Plan]:
    """A process for each context, and the gateway, each with its account; raises TownFailed."""
    ports = _ports(list(commands.workers), here)
    found = [
        Plan(
            name=context,
            argv=argv,
            contexts=[context],
            ready_url=f"http://127.0.0.1:{ports[context]}/ready",
            env={"YEYAK_HEALTH_PORT": str(ports[context]), **_identity(context, accounts)},
        )
        for context, argv in commands.workers.items()
    ]
    if commands.gateway:
        env = {"YEYAK_GATEWAY_PORT": str(ports[GATEWAY]), **_identity(GATEWAY, accounts)}
        found.append(Plan(GATEWAY, commands.gateway, f"http://127.0.0.1:{ports[GATEWAY]}/ready", env=env))
    return found


def _identity(name: str, accounts: Path | None) -> dict[str, str]:
    return {"YEYAK_PROCESS": name} | ({"YEYAK_SECRETS_DIR": str(accounts / name)} if accounts else {})


def _ports(contexts: list[str], here: Local) -> dict[str, int]:
    demanded = os.environ.get("YEYAK_GATEWAY_PORT")
    if demanded and not is_free(int(demanded)):
        raise TownFailed(f"port {demanded} (YEYAK_GATEWAY_PORT) is taken: choose another, or end who listens there")
    ports = kept_ports(here.root / "ports.json", [*contexts, GATEWAY], {GATEWAY: GATEWAY_PORT})
    if demanded or is_free(GATEWAY_PORT):
        ports[GATEWAY] = int(demanded or GATEWAY_PORT)
    return ports
