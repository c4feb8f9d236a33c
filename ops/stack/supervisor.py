"""The supervisor: runs the private servers, the processes of each context, and the gateway.

`python -m ops.stack.supervisor` starts everything in order and keeps it running; SIGTERM or SIGINT stops everything in
the opposite order. It writes its state to `.local/system.json` and takes commands over `ops.stack.control`.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from ops.accounts.files import OPERATOR, Folder
from ops.stack import processes
from ops.stack.control import Env, Reply, serve_commands
from ops.stack.local import ACCOUNTS_DIR, PROCESS_MARK, AlreadySupervised, Local, local
from ops.stack.output import addresses, print_timestamped
from ops.stack.preparation import prepare
from ops.stack.private_servers import PrivateServers
from ops.stack.process_group import CommandFailed, ProcessGroup
from ops.stack.process_specs import Commands, Preparation, ProcessSpecs, StartFailed, system_commands
from ops.stack.servers import ServerFailed
from ops.stack.shared import NotChanged

ALREADY_SUPERVISED = 3


class Supervisor:
    """Runs one system from start to stop."""

    def __init__(self, root: Local, commands: Commands | None = None, *, replicas: int = 1) -> None:
        self.local = root
        self.servers = PrivateServers(root)
        self.processes = ProcessGroup(root, self._changed)
        self.phase = "servers"
        self.problem: str | None = None
        self._given_commands = commands
        self._replicas = replicas
        self._commands: Commands = commands or Commands([], {}, None)
        self._accounts = Folder(root.accounts) if self.servers.all else None
        self._specs: ProcessSpecs | None = None
        self._env: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._server_lock, self._process_lock = asyncio.Lock(), asyncio.Lock()
        """Serialise the commands to servers, and those to processes."""
        self._started_at = datetime.now(UTC)

    async def run(self) -> int:
        """Run the system until it is stopped; returns the exit code."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, self._stopping.set)
        async with serve_commands(self.local.root, self.handle_command):
            try:
                await self._start()
                await self._monitor()
            except (StartFailed, ServerFailed) as failure:
                self.problem = str(failure)
                print_timestamped(self.problem)
            finally:
                await self._end()
        return 1 if self.problem else 0

    async def handle_command(self, command: str, name: str, env: Env | None = None) -> Reply:
        """Handle `ping`, `state`, `shutdown`, `ensure`, or `stop`, `start`, `restart`, `scale` of a process or server.

        `restart` with `env` changes the settings of a context until the system is stopped; `scale` takes `name=count`.
        """
        if command == "shutdown":
            self._stopping.set()
        elif command == "ensure":
            await self._ensure()
            await self.processes.probe(every=True)
        elif command in ("stop", "start", "restart", "scale"):
            return await self._run_command(command, name, env)
        elif command not in ("ping", "state"):
            return {"ok": False, "error": f"unknown command {command}"}
        return {"ok": True, "state": self.describe()}

    def describe(self) -> dict[str, Any]:
        return {
            "supervisor": os.getpid(),
            "since": self._started_at.isoformat(),
            "phase": self.phase,
            "problem": self.problem,
            "gateway_url": self.processes.gateway_url,
            "note": self._specs.note if self._specs else None,
            "console_url": self.servers.console_url if self._env else None,
            "servers": self.servers.describe(),
            "processes": self.processes.describe(),
        }

    # starting

    async def _start(self) -> None:
        self._changed()
        await asyncio.to_thread(end_leftovers, self.local)
        await self.servers.launch()
        if self._given_commands is None:
            self._commands = await asyncio.to_thread(system_commands)
        self._update_env()
        self._set_phase("preparing")
        await self._prepare()
        if not self._stopping.is_set():
            self._start_processes()

    async def _prepare(self) -> None:
        """Run each preparation as soon as its server answers; raises the first failure after all have ended."""
        steps = (self._prepare_one(step) for step in self._commands.prepare)
        for result in await asyncio.gather(self.servers.wait_ready(), *steps, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _prepare_one(self, step: Preparation) -> None:
        await self.servers.wait_ready(step.server)
        if not self._stopping.is_set():
            await prepare(step, self._env | self._administrators, self.local, self._stopping)

    @property
    def _signing_key(self) -> dict[str, str]:
        """The signing key, which the gateway and the commands in a terminal need."""
        return {"YEYAK_JWT_KEY": os.environ.get("YEYAK_JWT_KEY") or self.local.jwt_key}

    @property
    def _administrators(self) -> dict[str, str]:
        return {ACCOUNTS_DIR: str(self._accounts.path)} if self._accounts else {}

    def _start_processes(self) -> None:
        accounts = self._accounts.path if self._accounts else None
        self._specs = ProcessSpecs(
            self._commands, self.local, self._signing_key, accounts=accounts, balanced=self._replicas > 1
        )
        self._write_env()
        self._set_phase("up")
        self.processes.start_all(self._specs, self._env, self._replicas)

    def _update_env(self) -> bool:
        """Read the servers' addresses and write them down; False when nothing has changed."""
        env = self.servers.environment()
        moved = bool(self._accounts and self.servers.write_accounts(self._accounts, list(self._commands.workers)))
        changed, self._env = moved or env != self._env, env
        self._write_env()
        return changed

    def _write_env(self) -> None:
        """Write what a command in a terminal needs: the operator's addresses, the signing key, the accounts' folder."""
        gateway = {"YEYAK_GATEWAY_PORT": str(self._specs.gateway_port)} if self._specs else {}
        operators = self._accounts.read(OPERATOR) if self._accounts else {}
        named = {name.upper(): url for name, url in operators.items()}
        self.local.write_env(self._env | self._signing_key | named | self._administrators | gateway)

    # monitoring

    async def _monitor(self) -> None:
        """Monitor until stopped: servers twice a second, processes until they are ready and then every 2 s."""
        announced = False
        tick = 0
        while not self._stopping.is_set():
            async with self._server_lock:
                if await self.servers.restart_failed():
                    await self._restart_if_moved()
            await self.processes.probe(every=tick % 4 == 0)
            if not announced and self.processes.is_ready:
                announced = True
                print_timestamped("the system is ready\n" + addresses(self.describe()))
            tick += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.25 if not announced else 0.5)

    async def _restart_if_moved(self) -> None:
        """Restart all processes when a server came back on another port: its own was taken meanwhile."""
        if self._update_env():
            self.processes.set_env(self._env)
            await self.processes.stop(self.processes.children)
            self._start_again()
        self._changed()

    # commands

    async def _ensure(self) -> None:
        self.servers.clear_stop_requests()
        async with self._process_lock:
            await self.processes.ensure()
        self._changed()

    def _start_again(self) -> None:
        self.servers.clear_stop_requests()
        self.processes.start(self.processes.children)

    async def _run_command(self, command: str, name: str, env: Env | None) -> Reply:
        try:
            if server := self.servers.named(name):
                async with self._server_lock:
                    await self.servers.run_command(command, server)
                    await self._restart_if_moved()
            else:
                async with self._process_lock:
                    await self._run_process_command(command, name, env)
        except (ServerFailed, CommandFailed, NotChanged, ValueError) as failure:
            return {"ok": False, "error": str(failure)}
        self._changed()
        return {"ok": True, "state": self.describe()}

    async def _run_process_command(self, command: str, name: str, env: Env | None) -> None:
        self._write_env()  # a password may have changed
        if command == "scale":
            service, _, count = name.partition("=")
            await self.processes.scale(service, int(count or 0))
            return
        if self.processes.is_sharing(name):
            if command == "start":
                return
            await self.processes.separate(name)
        chosen = self.processes.all_but_the_balancer if name == "all" else self.processes.named(name)
        if not chosen:
            raise CommandFailed(f"there is no {name}; there are: {', '.join(self._known_names())}")
        if env is not None:
            self.processes.set_settings(chosen[0].spec.service, env)
        if command == "stop":
            await self.processes.stop(chosen)
        elif self.processes.may_share(name):
            await self.processes.rejoin(name)
        elif command == "start":
            self.processes.start(chosen)
        else:
            await self.processes.restart(chosen)

    def _known_names(self) -> list[str]:
        there = [child.spec.name for child in self.processes.children]
        contexts = self._specs.contexts if self._specs else []
        return list(dict.fromkeys([*contexts, *there, *(server.name for server in self.servers.all)]))

    # stopping

    async def _end(self) -> None:
        self._set_phase("stopping")
        await self.processes.end()
        await self.servers.stop()
        self._set_phase("failed" if self.problem else "stopped")

    def _set_phase(self, phase: str) -> None:
        self.phase = phase
        print_timestamped(phase)
        self._changed()

    def _changed(self) -> None:
        try:
            self.local.write_state(self.describe())
        except OSError as error:  # a full disk must not stop the system
            print_timestamped(f"{self.local.state_file} cannot be written: {error}")


def end_leftovers(root: Local) -> None:
    """Stop the processes of a supervisor that was killed; the kernel should have done so already."""
    leftovers = processes.marked(PROCESS_MARK, str(root.root))
    processes.send(leftovers, signal.SIGTERM)
    processes.send(processes.wait_gone(leftovers, 5.0), signal.SIGKILL)


def main(replicas: int = 1) -> int:
    root = local()
    try:
        with root.only_supervisor():
            return asyncio.run(_supervise(root, replicas))
    except AlreadySupervised:
        print_timestamped("the system is up already: `yeyak status` shows it, `yeyak down` stops it")
        return ALREADY_SUPERVISED


async def _supervise(root: Local, replicas: int) -> int:
    return await Supervisor(root, replicas=replicas).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m ops.stack.supervisor", description="Run the system and keep it running."
    )
    parser.add_argument("--replicas", type=int, default=1, help="processes of each context and of the gateway")
    sys.exit(main(parser.parse_args().replicas))
