"""Keeps the town alive: the private servers, one process per context, and the gateway.

`python -m ops.stack.supervisor` starts everything in order and stays; SIGTERM or SIGINT ends everything in the
opposite order. What it knows is in `.local/town.json`; what it can be told is in `ops.stack.control`.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil

from ops.stack import processes
from ops.stack.children import Child, Plan
from ops.stack.control import Answer, listening
from ops.stack.files import last_line, rotate
from ops.stack.local import PROCESS_MARK, REPOSITORY, SERVER_ADDRESSES, AlreadySupervised, Local, local
from ops.stack.ports import is_free, kept_ports
from ops.stack.servers import PostgresServer, RabbitServer, Server, ServerFailed, start_all, stop_all

GATEWAY = "gateway"
GATEWAY_PORT = 8088
ALREADY_SUPERVISED = 3


class TownFailed(Exception):
    """One sentence: why the town cannot start, and which log to read."""


class Servers:
    """The private servers, or nothing at all when the environment names others."""

    def __init__(self, root: Local) -> None:
        self.all: list[Server] = []
        self.down_on_purpose: set[str] = set()
        self.starting: set[str] = set()
        self.restarts: dict[str, int] = {}
        if not (os.environ.get("YEYAK_AMQP_URL") and os.environ.get("YEYAK_DATABASE_URL")):
            self.rabbit = RabbitServer(root.root, preferred_ports={"amqp": 5672, "console": 15672, "metrics": 15692})
            self.postgres = PostgresServer(root.root, preferred_ports={"sql": 5432})
            self.all = [self.rabbit, self.postgres]

    def named(self, name: str) -> Server | None:
        return next((server for server in self.all if server.name == name), None)

    def environment(self) -> dict[str, str]:
        """The addresses that every process of the town gets."""
        if self.all:
            return {
                "YEYAK_AMQP_URL": self.rabbit.amqp_url,
                "YEYAK_RABBITMQ_API": self.rabbit.api_url,
                "YEYAK_DATABASE_URL": self.postgres.database_url,
                "YEYAK_PROVIDER_DATABASE_URL": self.postgres.provider_database_url,
                "YEYAK_PAYMENTS_REFUND_LOG": str(self.postgres.root / "refunds.jsonl"),
            }
        return {name: os.environ[name] for name in SERVER_ADDRESSES if os.environ.get(name)}

    def _state_of(self, server: Server) -> str:
        if server.name in self.starting:
            return "starting"
        return "running" if server.pid else "stopped"

    def described(self) -> list[dict[str, Any]]:
        return [
            {
                "name": server.name,
                "pid": server.pid,
                "state": self._state_of(server),
                "restarts": self.restarts.get(server.name, 0),
                "ports": server.ports,
                "url": server.url,
            }
            for server in self.all
        ]


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


class Supervisor:
    def __init__(self, root: Local, commands: Commands | None = None) -> None:
        self.local = root
        self.servers = Servers(root)
        self.children: list[Child] = []
        self.phase = "servers"
        self.problem: str | None = None
        self._commands = commands
        self._env: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._order = asyncio.Lock()
        self._since = datetime.now(UTC)

    async def run(self) -> int:
        """Return the exit code when the town has ended."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, self._stopping.set)
        async with listening(self.local.root, self.obey):
            try:
                await self._start()
                await self._watch()
            except (TownFailed, ServerFailed) as failure:
                self.problem = str(failure)
                say(self.problem)
            finally:
                await self._end()
        return 1 if self.problem else 0

    async def obey(self, do: str, name: str) -> Answer:
        """`ping`, `state`, `shutdown`, `ensure`, and `stop`, `start`, `restart` of one process or server."""
        if do == "shutdown":
            self._stopping.set()
        elif do == "ensure":
            self._ensure()
            await asyncio.gather(*(self._probe(child) for child in self.children))
        elif do in ("stop", "start", "restart"):
            return await self._command(do, name)
        elif do not in ("ping", "state"):
            return {"ok": False, "error": f"unknown order {do}"}
        return {"ok": True, "state": self.described()}

    def described(self) -> dict[str, Any]:
        return {
            "supervisor": os.getpid(),
            "since": self._since.isoformat(),
            "phase": self.phase,
            "problem": self.problem,
            "gateway_url": next((child.url for child in self.children if is_gateway(child)), None),
            "console_url": self._env.get("YEYAK_RABBITMQ_API"),
            "servers": self.servers.described(),
            "processes": [child.described() for child in self.children],
        }

    # starting

    async def _start(self) -> None:
        self._changed()
        await asyncio.to_thread(end_leftovers, self.local)
        await asyncio.to_thread(start_all, *self.servers.all)
        self._take_addresses()
        self._enter("preparing")
        commands = self._commands if self._commands is not None else await asyncio.to_thread(real_commands)
        for command in commands.prepare:
            if not self._stopping.is_set():
                await self._prepare(command)
        if not self._stopping.is_set():
            self._open(commands)

    def _open(self, commands: Commands) -> None:
        self.children = [Child(plan, self.local, self._changed) for plan in self._plans(commands)]
        self._enter("up")
        for child in self.children:
            child.start(self._env)

    def _take_addresses(self) -> None:
        self._env = {"YEYAK_JWT_KEY": os.environ.get("YEYAK_JWT_KEY") or self.local.jwt_key}
        self._env |= self.servers.environment()
        self.local.write_env(self._env)

    async def _prepare(self, command: list[str]) -> None:
        log = self.local.log_of("prepare")
        log.parent.mkdir(parents=True, exist_ok=True)
        rotate(log)
        with log.open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=os.environ | self._env | {PROCESS_MARK: str(self.local.root)},
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                preexec_fn=processes.dying_with_parent(os.getpid()),
            )
        stop = asyncio.create_task(self._stopping.wait())
        end = asyncio.create_task(process.wait())
        await asyncio.wait([stop, end], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not end.done():
            process.terminate()
        elif end.result():
            what = " ".join(word for word in command if not word.startswith(("/", "-"))).replace("ops.cli", "yeyak")
            raise TownFailed(f"{what} failed ({last_line(log)}): read {log}")

    def _plans(self, commands: Commands) -> list[Plan]:
        ports = self._ports(list(commands.workers))
        plans = [
            Plan(
                name=context,
                argv=argv,
                contexts=[context],
                ready_url=f"http://127.0.0.1:{ports[context]}/ready",
                env={"YEYAK_PROCESS": context, "YEYAK_HEALTH_PORT": str(ports[context])},
            )
            for context, argv in commands.workers.items()
        ]
        if commands.gateway:
            port = ports[GATEWAY]
            env = {"YEYAK_PROCESS": GATEWAY, "YEYAK_GATEWAY_PORT": str(port)}
            plans.append(Plan(GATEWAY, commands.gateway, f"http://127.0.0.1:{port}/ready", env=env))
            self._env["YEYAK_GATEWAY_PORT"] = str(port)
            self.local.write_env(self._env)
        return plans

    def _ports(self, contexts: list[str]) -> dict[str, int]:
        kept = self.local.root / "ports.json"
        demanded = os.environ.get("YEYAK_GATEWAY_PORT")
        if demanded and not is_free(int(demanded)):
            raise TownFailed(f"port {demanded} (YEYAK_GATEWAY_PORT) is taken: choose another, or end who listens there")
        ports = kept_ports(kept, [*contexts, GATEWAY], {GATEWAY: GATEWAY_PORT})
        if demanded or is_free(GATEWAY_PORT):
            ports[GATEWAY] = int(demanded or GATEWAY_PORT)
        return ports

    # watching

    async def _watch(self) -> None:
        """Until told to stop. A server is looked at twice a second, a process until it is ready and then every 2 s."""
        announced = False
        tick = 0
        while not self._stopping.is_set():
            async with self._order:
                await self._revive_servers()
            await asyncio.gather(*(self._probe(child) for child in self.children if not child.ready or tick % 4 == 0))
            if not announced and self.children and all(child.ready for child in self.children):
                announced = True
                say("the town is ready\n" + addresses(self.described()))
            tick += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.25 if not announced else 0.5)

    async def _probe(self, child: Child) -> None:
        if child.pid:
            child.note_ready(await answers_ready(child.plan.ready_url))

    async def _revive_servers(self) -> None:
        gone = [server for server in self.servers.all if not self._is_fine(server)]
        if gone:
            await asyncio.gather(*(self._revive(server) for server in gone))
            await self._follow_addresses()

    def _is_fine(self, server: Server) -> bool:
        return server.is_running() or server.name in self.servers.down_on_purpose

    async def _revive(self, server: Server) -> None:
        say(f"{server.name} is gone; starting it again")
        self.servers.restarts[server.name] = self.servers.restarts.get(server.name, 0) + 1
        self.servers.starting.add(server.name)
        try:
            await asyncio.to_thread(server.start)
        except (ServerFailed, OSError, psutil.Error) as failure:
            say(f"{server.name} does not come back yet: {failure}")
        self.servers.starting.discard(server.name)

    async def _follow_addresses(self) -> None:
        """Somebody may have taken a port while the server was down: then it is elsewhere now."""
        addresses_now = self.servers.environment()
        if any(self._env.get(name) != value for name, value in addresses_now.items()):
            self._env |= addresses_now
            self.local.write_env(self._env)
            await asyncio.gather(*(child.stop() for child in self.children))
            self._ensure()
        self._changed()

    # orders

    def _ensure(self) -> None:
        self.servers.down_on_purpose.clear()
        for child in self.children:
            child.start(self._env)

    async def _command(self, do: str, name: str) -> Answer:
        server = self.servers.named(name)
        child = next((child for child in self.children if child.plan.name == name), None)
        if server is None and child is None:
            known = [child.plan.name for child in self.children] + [server.name for server in self.servers.all]
            return {"ok": False, "error": f"nothing is called {name}; there are: {', '.join(known)}"}
        async with self._order:
            try:
                await (self._command_server(do, server) if server else self._command_child(do, child))
            except ServerFailed as failure:
                return {"ok": False, "error": str(failure)}
        self._changed()
        return {"ok": True, "state": self.described()}

    async def _command_server(self, do: str, server: Server) -> None:
        if do in ("stop", "restart"):
            self.servers.down_on_purpose.add(server.name)
            await asyncio.to_thread(server.stop)
        if do in ("start", "restart"):
            await asyncio.to_thread(server.start)
            self.servers.down_on_purpose.discard(server.name)
            await self._follow_addresses()

    async def _command_child(self, do: str, child: Child | None) -> None:
        if child and do in ("stop", "restart"):
            await child.stop()
        if child and do in ("start", "restart"):
            child.start(self._env)

    # ending

    async def _end(self) -> None:
        self._enter("stopping")
        await asyncio.gather(*(child.stop() for child in self.children if is_gateway(child)))
        await asyncio.gather(*(child.stop() for child in self.children))
        await asyncio.to_thread(stop_all, *self.servers.all)
        self._enter("failed" if self.problem else "stopped")

    def _enter(self, phase: str) -> None:
        self.phase = phase
        say(phase)
        self._changed()

    def _changed(self) -> None:
        try:
            self.local.write_state(self.described())
        except OSError as error:  # a full disk must not end the town
            say(f"{self.local.state_file} cannot be written: {error}")


def is_gateway(child: Child) -> bool:
    return child.plan.name == GATEWAY


def end_leftovers(root: Local) -> None:
    """Processes of a supervisor that was killed; the kernel should have ended them already."""
    leftovers = processes.marked(PROCESS_MARK, str(root.root))
    processes.send(leftovers, signal.SIGTERM)
    processes.send(processes.wait_gone(leftovers, 5.0), signal.SIGKILL)


async def answers_ready(url: str, timeout: float = 1.0) -> bool:
    """Whether a GET of `http://host:port/path` is answered with 200."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def addresses(state: Mapping[str, Any]) -> str:
    """Where a person finds the running town."""
    lines = [f"  console           {url}/", f"  gateway           {url}"] if (url := state.get("gateway_url")) else []
    if console := state.get("console_url"):
        scheme, _, rest = console.partition("://")
        login, _, place = rest.rpartition("@")
        user, _, password = login.partition(":")
        lines.append(f"  RabbitMQ console  {scheme}://{place}  user {user}  password {password}")
    lines += [f"  {server['name']:<16}  {server['url']}" for server in state.get("servers", [])]
    return "\n".join(lines)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    root = local()
    try:
        with root.only_supervisor():
            return asyncio.run(_supervise(root))
    except AlreadySupervised:
        say("the town is up already: `yeyak status` shows it, `yeyak down` ends it")
        return ALREADY_SUPERVISED


async def _supervise(root: Local) -> int:
    return await Supervisor(root).run()


if __name__ == "__main__":
    sys.exit(main())
