"""What the system is made of: which processes, with which commands, on which ports."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.accounts.files import OPERATOR
from ops.stack.child_process import Plan
from ops.stack.local import REPOSITORY, Local
from ops.stack.ports import free_port, is_free, kept_ports

GATEWAY, BALANCER, EXPORTER = "gateway", "balancer", "exporter"
GATEWAY_PORT = 8088
MOST_GATEWAYS = 5


class StartFailed(Exception):
    """One sentence: why the system cannot start, and which log to read."""


@dataclass(frozen=True)
class Commands:
    """What the system is made of; tests give their own."""

    prepare: list[list[str]]
    workers: Mapping[str, list[str]]
    gateway: list[str] | None
    exporter: list[str] | None = None
    """Audits the system again and again; is told its port."""


def real_commands() -> Commands:
    python, yeyak = sys.executable, [sys.executable, "-m", "ops.cli"]
    return Commands(
        prepare=[[*yeyak, "migrate"], [*yeyak, "topology", "apply"]],
        workers={context: [python, "-m", "workers", context] for context in all_contexts()},
        gateway=[python, "-m", "gateway_api"],
        exporter=[*yeyak, "exporter", "--port"],
    )


def all_contexts() -> list[str]:
    """Read in a process of its own: the supervisor stays small, and outlives a broken import."""
    program = "import json, workers.registry as system; print(json.dumps(list(system.CONTEXTS)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise StartFailed(f"workers/registry.py cannot be read ({reason})")
    return list(json.loads(result.stdout.splitlines()[-1]))


class Plans:
    """Which processes there are, each with a name, a port and an account; the first replica is called as its context.

    With a balancer, the gateways have ports of their own, and the balancer has the system's.
    """

    def __init__(
        self, commands: Commands, here: Local, key: dict[str, str], *, accounts: Path | None, balanced: bool
    ) -> None:
        self._commands = commands
        self._key = key
        self._accounts = accounts
        self._gateways = [GATEWAY, *(f"{GATEWAY}-{number}" for number in range(2, MOST_GATEWAYS + 1))]
        doors = [*self._gateways, BALANCER] if balanced else [GATEWAY]
        self.balanced = balanced and commands.gateway is not None
        self._ports = _ports([*commands.workers, EXPORTER], doors, here)

    @property
    def gateway_port(self) -> int:
        """Where the system is entered."""
        return self._ports[BALANCER if self.balanced else GATEWAY]

    def names(self) -> list[str]:
        """What there may be replicas of."""
        return [*self._commands.workers, *([GATEWAY] if self._commands.gateway else [])]

    def replica(self, of: str, number: int) -> Plan:
        """The first, second ... process of a context or of the gateway."""
        name = of if number == 1 else f"{of}-{number}"
        identity = {"YEYAK_PROCESS": name} | self._account(of)
        port = self._ports.get(name) or free_port()
        url = f"http://127.0.0.1:{port}/ready"
        if of == GATEWAY:
            env = {"YEYAK_GATEWAY_PORT": str(port), **self._key, **identity}
            return Plan(name, self._commands.gateway or [], url, of, env=env)
        env = {"YEYAK_HEALTH_PORT": str(port), **identity}
        return Plan(name, self._commands.workers[of], url, of, [of], env)

    def _account(self, of: str) -> dict[str, str]:
        return {"YEYAK_SECRETS_DIR": str(self._accounts / of)} if self._accounts else {}

    def exporter(self) -> Plan | None:
        """It answers every path with its metrics, `/ready` too."""
        if self._commands.exporter is None:
            return None
        port = str(self._ports[EXPORTER])
        url = f"http://127.0.0.1:{port}/ready"
        return Plan(EXPORTER, [*self._commands.exporter, port], url, EXPORTER, env=self._account(OPERATOR))

    def balancer(self) -> Plan:
        ports = [str(self._ports[name]) for name in (BALANCER, *self._gateways)]
        argv = [sys.executable, "-m", "ops.stack.balancer", *ports]
        return Plan(BALANCER, argv, f"http://127.0.0.1:{ports[0]}/ready", BALANCER)


def _ports(contexts: list[str], doors: list[str], here: Local) -> dict[str, int]:
    """The last of the doors is the one that people know."""
    door, demanded = doors[-1], os.environ.get("YEYAK_GATEWAY_PORT")
    if demanded and not is_free(int(demanded)):
        raise StartFailed(f"port {demanded} (YEYAK_GATEWAY_PORT) is taken: choose another, or end who listens there")
    file = here.root / ("ports.json" if door == GATEWAY else "ports_balanced.json")
    ports = kept_ports(file, [*contexts, *doors], {door: GATEWAY_PORT})
    if demanded or is_free(GATEWAY_PORT):
        ports[door] = int(demanded or GATEWAY_PORT)
    return ports
