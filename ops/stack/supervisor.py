"""Keeps the system alive: the private servers, one process per context, and the gateway.

`python -m ops.stack.supervisor` starts everything in order and stays; SIGTERM or SIGINT ends everything in the
opposite order. What it knows is in `.local/system.json`; what it can be told is in `ops.stack.control`.
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
from ops.stack.control import Answer, Env, listening
from ops.stack.local import ACCOUNTS_DIR, PROCESS_MARK, AlreadySupervised, Local, local
from ops.stack.output import addresses, say
from ops.stack.plans import Commands, Plans, StartFailed, real_commands
from ops.stack.preparing import prepare
from ops.stack.private_servers import PrivateServers
from ops.stack.process_group import NotDone, ProcessGroup
from ops.stack.servers import ServerFailed

ALREADY_SUPERVISED = 3


class Supervisor:
    def __init__(self, root: Local, commands: Commands | None = None, *, replicas: int = 1) -> None:
        self.local = root
        self.servers = PrivateServers(root)
        self.processes = ProcessGroup(root, self._changed)
        self.phase = "servers"
        self.problem: str | None = None
        self._given = commands
        self._replicas = replicas
        self._commands: Commands = commands or Commands([], {}, None)
        self._accounts = Folder(root.accounts) if self.servers.all else None
        self._plans: Plans | None = None
        self._env: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._order, self._orders = asyncio.Lock(), asyncio.Lock()
        """For what is done to servers, and to processes."""
        self._since = datetime.now(UTC)

    async def run(self) -> int:
        """Return the exit code when the system has ended."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(signum, self._stopping.set)
        async with listening(self.local.root, self.obey):
            try:
                await self._start()
                await self._watch()
            except (StartFailed, ServerFailed) as failure:
                self.problem = str(failure)
                say(self.problem)
            finally:
                await self._end()
        return 1 if self.problem else 0

    async def obey(self, do: str, name: str, env: Env | None = None) -> Answer:
        """`ping`, `state`, `shutdown`, `ensure`; `stop`, `start`, `restart`, `scale` of a process or a server.

        `restart` with `env` changes settings of a context until the system ends; `scale` reads `name=count`.
        """
        if do == "shutdown":
            self._stopping.set()
        elif do == "ensure":
            self._ensure()
            await self.processes.look(every=True)
        elif do in ("stop", "start", "restart", "scale"):
            return await self._command(do, name, env)
        elif do not in ("ping", "state"):
            return {"ok": False, "error": f"unknown order {do}"}
        return {"ok": True, "state": self.described()}

    def described(self) -> dict[str, Any]:
        return {
            "supervisor": os.getpid(),
            "since": self._since.isoformat(),
            "phase": self.phase,
            "problem": self.problem,
            "gateway_url": self.processes.gateway_url,
            "console_url": self.servers.console_url if self._env else None,
            "servers": self.servers.described(),
            "processes": self.processes.described(),
        }

    # starting

    async def _start(self) -> None:
        self._changed()
        await asyncio.to_thread(end_leftovers, self.local)
        await self.servers.start()
        self._commands = self._given if self._given is not None else await asyncio.to_thread(real_commands)
        self._take_addresses()
        self._enter("preparing")
        await self._prepare()
        if not self._stopping.is_set():
            self._open()

    async def _prepare(self) -> None:
        for command in self._commands.prepare:
            if not self._stopping.is_set():
                await prepare(command, self._env | self._administrators, self.local, self._stopping)

    @property
    def _key(self) -> dict[str, str]:
        """For who signs and who checks tokens: the gateway, and commands in a terminal."""
        return {"YEYAK_JWT_KEY": os.environ.get("YEYAK_JWT_KEY") or self.local.jwt_key}

    @property
    def _administrators(self) -> dict[str, str]:
        return {ACCOUNTS_DIR: str(self._accounts.path)} if self._accounts else {}

    def _open(self) -> None:
        accounts = self._accounts.path if self._accounts else None
        self._plans = Plans(self._commands, self.local, self._key, accounts=accounts, balanced=self._replicas > 1)
        self._write_env()
        self._enter("up")
        self.processes.open(self._plans, self._env, self._replicas)

    def _take_addresses(self) -> bool:
        """False when nothing has changed."""
        env = self.servers.environment()
        moved = bool(self._accounts and self.servers.keep_accounts(self._accounts, list(self._commands.workers)))
        changed, self._env = moved or env != self._env, env
        self._write_env()
        return changed

    def _write_env(self) -> None:
        """What a command in a terminal needs: the operator's account, and the folder of all of them."""
        gateway = {"YEYAK_GATEWAY_PORT": str(self._plans.gateway_port)} if self._plans else {}
        operators = self._accounts.read(OPERATOR) if self._accounts else {}
        named = {name.upper(): url for name, url in operators.items()}
        self.local.write_env(self._env | self._key | named | self._administrators | gateway)

    # watching

    async def _watch(self) -> None:
        """Until told to stop. A server is looked at twice a second, a process until it is ready and then every 2 s."""
        announced = False
        tick = 0
        while not self._stopping.is_set():
            async with self._order:
                if await self.servers.revive():
                    await self._follow_addresses()
            await self.processes.look(every=tick % 4 == 0)
            if not announced and self.processes.is_ready:
                announced = True
                say("the system is ready\n" + addresses(self.described()))
            tick += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.25 if not announced else 0.5)

    async def _follow_addresses(self) -> None:
        """Somebody may have taken a port while the server was down: then it is elsewhere now."""
        if self._take_addresses():
            self.processes.move(self._env)
            await self.processes.stop(self.processes.children)
            self._ensure()
        self._changed()

    # orders

    def _ensure(self) -> None:
        self.servers.want_all()
        self.processes.start(self.processes.children)

    async def _command(self, do: str, name: str, env: Env | None) -> Answer:
        try:
            if server := self.servers.named(name):
                async with self._order:
                    await self.servers.command(do, server)
                    await self._follow_addresses()
            else:
                async with self._orders:
                    await self._command_processes(do, name, env)
        except (ServerFailed, NotDone, ValueError) as failure:
            return {"ok": False, "error": str(failure)}
        self._changed()
        return {"ok": True, "state": self.described()}

    async def _command_processes(self, do: str, name: str, env: Env | None) -> None:
        if do == "scale":
            of, _, count = name.partition("=")
            await self.processes.scale(of, int(count or 0))
            return
        chosen = self.processes.all_but_the_balancer if name == "all" else self.processes.named(name)
        if not chosen:
            known = [child.plan.name for child in self.processes.children] + [
                server.name for server in self.servers.all
            ]
            raise NotDone(f"nothing is called {name}; there are: {', '.join(known)}")
        if env is not None:
            self.processes.override(chosen[0].plan.of, env)
        if do == "stop":
            await self.processes.stop(chosen)
        elif do == "start":
            self.processes.start(chosen)
        else:
            await self.processes.restart(chosen)

    # ending

    async def _end(self) -> None:
        self._enter("stopping")
        await self.processes.end()
        await self.servers.stop()
        self._enter("failed" if self.problem else "stopped")

    def _enter(self, phase: str) -> None:
        self.phase = phase
        say(phase)
        self._changed()

    def _changed(self) -> None:
        try:
            self.local.write_state(self.described())
        except OSError as error:  # a full disk must not end the system
            say(f"{self.local.state_file} cannot be written: {error}")


def end_leftovers(root: Local) -> None:
    """Processes of a supervisor that was killed; the kernel should have ended them already."""
    leftovers = processes.marked(PROCESS_MARK, str(root.root))
    processes.send(leftovers, signal.SIGTERM)
    processes.send(processes.wait_gone(leftovers, 5.0), signal.SIGKILL)


def main(replicas: int = 1) -> int:
    root = local()
    try:
        with root.only_supervisor():
            return asyncio.run(_supervise(root, replicas))
    except AlreadySupervised:
        say("the system is up already: `yeyak status` shows it, `yeyak down` ends it")
        return ALREADY_SUPERVISED


async def _supervise(root: Local, replicas: int) -> int:
    return await Supervisor(root, replicas=replicas).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ops.stack.supervisor", description="Keep the system alive.")
    parser.add_argument("--replicas", type=int, default=1, help="processes of each context and of the gateway")
    sys.exit(main(parser.parse_args().replicas))
