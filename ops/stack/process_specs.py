"""The processes of a system: their commands, names, ports and environments."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.accounts.files import OPERATOR, SYSTEM
from ops.stack.child_process import ProcessSpec
from ops.stack.local import PROCESSES, REPOSITORY, Local
from ops.stack.ports import free_port, is_free, read_or_choose_ports, read_ports
from ops.stack.servers import PostgresServer, RabbitServer

WORKERS, GATEWAY, BALANCER, EXPORTER = "workers", "gateway", "balancer", "exporter"
GATEWAY_PORT = 8088
MAX_GATEWAYS = 5
SHARED, EACH = "shared", "each"
SHARED_MEMORY_LIMIT = 1000 * 2**20


class StartFailed(Exception):
    """The system cannot start; the text is one sentence that says why and names the log to read."""


@dataclass(frozen=True)
class Preparation:
    """A command that must succeed before any process starts; `name` is its log's, `server` the one that it needs."""

    name: str
    argv: list[str]
    server: str = ""


@dataclass(frozen=True)
class Commands:
    """The commands that run a system; tests pass their own."""

    prepare: list[Preparation]
    workers: Mapping[str, list[str]]
    gateway: list[str] | None
    exporter: list[str] | None = None
    """The command of the audit exporter; its port is appended as the last argument."""
    shared: list[str] | None = None
    """The command of a process for many contexts; the file that names them is appended. Without it each has its own."""


def system_commands() -> Commands:
    python, yeyak = sys.executable, [sys.executable, "-m", "ops.cli"]
    return Commands(
        prepare=[
            Preparation("migrate", [*yeyak, "migrate"], PostgresServer.name),
            Preparation("topology", [*yeyak, "topology", "apply"], RabbitServer.name),
        ],
        workers={context: [python, "-m", "workers", context] for context in read_contexts()},
        gateway=[python, "-m", "gateway_api"],
        exporter=[*yeyak, "exporter", "--port"],
        shared=[python, "-m", "workers", "--listed"] if are_shared() else None,
    )


def are_shared() -> bool:
    """Whether contexts share a process, as YEYAK_PROCESSES says; raises StartFailed for a wrong value."""
    layout = os.environ.get(PROCESSES) or SHARED
    if layout not in (SHARED, EACH):
        raise StartFailed(f"{PROCESSES} is {SHARED} or {EACH}, not {layout}")
    return layout == SHARED


def read_contexts() -> list[str]:
    """Return all context names, read in a subprocess: the supervisor stays small and survives a broken import."""
    program = "import json, workers.registry as system; print(json.dumps(list(system.CONTEXTS)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise StartFailed(f"workers/registry.py cannot be read ({reason})")
    return list(json.loads(result.stdout.splitlines()[-1]))


class ProcessSpecs:
    """Makes the spec of each process: its name, port and account. The first replica has the name of its context.

    With a balancer, the balancer listens on the system's port and each gateway on one of its own.
    """

    def __init__(
        self, commands: Commands, here: Local, key: dict[str, str], *, accounts: Path | None, balanced: bool
    ) -> None:
        self._commands = commands
        self._key = key
        self._accounts = accounts
        self._gateways = [GATEWAY, *(f"{GATEWAY}-{number}" for number in range(2, MAX_GATEWAYS + 1))]
        entry_names = [*self._gateways, BALANCER] if balanced else [GATEWAY]
        self.balanced = balanced and commands.gateway is not None
        self.shared_file = here.shared_contexts
        self._ports = _ports([*commands.workers, EXPORTER, WORKERS], entry_names, here)

    @property
    def gateway_port(self) -> int:
        """The port that clients of the system use."""
        return self._ports[BALANCER if self.balanced else GATEWAY]

    @property
    def note(self) -> str | None:
        """Why the address is not the usual one, in a sentence that says what to do."""
        if self.gateway_port == GATEWAY_PORT or os.environ.get("YEYAK_GATEWAY_PORT"):
            return None
        return (
            f"Port {GATEWAY_PORT} was in use at the first start: the address is kept from then on; "
            "YEYAK_GATEWAY_PORT chooses another."
        )

    @property
    def shares(self) -> bool:
        """Whether the contexts share a process."""
        return self._commands.shared is not None

    @property
    def contexts(self) -> list[str]:
        return list(self._commands.workers)

    def first_services(self) -> list[str]:
        """What runs from the start, the balancer and the exporter apart."""
        return [*([WORKERS] if self.shares else self.contexts), *([GATEWAY] if self._commands.gateway else [])]

    def services(self) -> list[str]:
        """What can have replicas."""
        return list(dict.fromkeys([*self.contexts, *self.first_services()]))

    def replica(self, service: str, number: int) -> ProcessSpec:
        """The spec of replica `number`, from 1 on, of a context or of the gateway."""
        name = service if number == 1 else f"{service}-{number}"
        identity = {"YEYAK_PROCESS": name} | self._account(SYSTEM if service == WORKERS else service)
        port = self._ports.get(name) or free_port()
        url = f"http://127.0.0.1:{port}/ready"
        if service == GATEWAY:
            env = {"YEYAK_GATEWAY_PORT": str(port), **self._key, **identity}
            if self.balanced:  # all clients have the balancer's address
                env["YEYAK_GATEWAY_CONNECTIONS_PER_ADDRESS"] = "0"
            return ProcessSpec(name, self._commands.gateway or [], url, service, env=env)
        env = {"YEYAK_HEALTH_PORT": str(port), **identity}
        if service == WORKERS:
            argv = [*(self._commands.shared or []), str(self.shared_file)]
            return ProcessSpec(name, argv, url, service, env=env, memory_limit=SHARED_MEMORY_LIMIT)
        return ProcessSpec(name, self._commands.workers[service], url, service, [service], env)

    def _account(self, account: str) -> dict[str, str]:
        return {"YEYAK_SECRETS_DIR": str(self._accounts / account)} if self._accounts else {}

    def exporter(self) -> ProcessSpec | None:
        """The exporter answers every path with its metrics, `/ready` included."""
        if self._commands.exporter is None:
            return None
        port = str(self._ports[EXPORTER])
        url = f"http://127.0.0.1:{port}/ready"
        return ProcessSpec(EXPORTER, [*self._commands.exporter, port], url, EXPORTER, env=self._account(OPERATOR))

    def balancer(self) -> ProcessSpec:
        ports = [str(self._ports[name]) for name in (BALANCER, *self._gateways)]
        argv = [sys.executable, "-m", "ops.stack.balancer", *ports]
        return ProcessSpec(BALANCER, argv, f"http://127.0.0.1:{ports[0]}/ready", BALANCER)


def _ports(contexts: list[str], entry_names: list[str], here: Local) -> dict[str, int]:
    """Assign a port to every name; the last of `entry_names` gets the system's port, with and without replicas."""
    entry, requested = entry_names[-1], os.environ.get("YEYAK_GATEWAY_PORT")
    if requested and not is_free(int(requested)):
        raise StartFailed(
            f"port {requested} (YEYAK_GATEWAY_PORT) is in use: choose another, or stop the process that listens there"
        )
    alone, balanced = here.root / "ports.json", here.root / "ports_balanced.json"
    file, other = (alone, balanced) if entry == GATEWAY else (balanced, alone)
    preferred = read_ports(other).get(BALANCER if other == balanced else GATEWAY, GATEWAY_PORT)
    ports = read_or_choose_ports(file, [*contexts, *entry_names], {entry: preferred})
    return ports | ({entry: int(requested)} if requested else {})
