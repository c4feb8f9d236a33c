"""Keeps the town alive: the private servers, one process per context, and the gateway.

`python -m ops.stack.supervisor` starts everything in order and stays; SIGTERM or SIGINT ends everything in the
opposite order. What it knows is in `.local/town.json`; what it can be told is in `ops.stack.control`.
"""

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from ops.accounts.files import OPERATOR, Folder
from ops.stack import processes
from ops.stack.children import Child
from ops.stack.control import Answer, listening
from ops.stack.local import ACCOUNTS_DIR, PROCESS_MARK, AlreadySupervised, Local, local
from ops.stack.plans import GATEWAY, Commands, TownFailed, plans, real_commands
from ops.stack.preparing import prepare
from ops.stack.private import PrivateServers
from ops.stack.probing import answers_ready
from ops.stack.saying import addresses, say
from ops.stack.servers import ServerFailed

ALREADY_SUPERVISED = 3


class Supervisor:
    def __init__(self, root: Local, commands: Commands | None = None) -> None:
        self.local = root
        self.servers = PrivateServers(root)
        self.children: list[Child] = []
        self.phase = "servers"
        self.problem: str | None = None
        self._given = commands
        self._commands: Commands = commands or Commands([], {}, None)
        self._accounts = Folder(root.accounts) if self.servers.all else None
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
            "console_url": self.servers.console_url if self._env else None,
            "servers": self.servers.described(),
            "processes": [child.described() for child in self.children],
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
    def _administrators(self) -> dict[str, str]:
        return {ACCOUNTS_DIR: str(self._accounts.path)} if self._accounts else {}

    def _open(self) -> None:
        accounts = self._accounts.path if self._accounts else None
        self.children = [
            Child(plan, self.local, self._changed) for plan in plans(self._commands, self.local, accounts=accounts)
        ]
        self._write_env()
        self._enter("up")
        for child in self.children:
            child.start(self._env)

    def _take_addresses(self) -> bool:
        """False when nothing has changed."""
        env = {"YEYAK_JWT_KEY": os.environ.get("YEYAK_JWT_KEY") or self.local.jwt_key} | self.servers.environment()
        moved = bool(self._accounts and self.servers.keep_accounts(self._accounts, list(self._commands.workers)))
        changed, self._env = moved or env != self._env, env
        self._write_env()
        return changed

    def _write_env(self) -> None:
        """What a command in a terminal needs: the operator's account, and the folder of all of them."""
        gateways = [child.plan.env["YEYAK_GATEWAY_PORT"] for child in self.children if is_gateway(child)]
        gateway = {"YEYAK_GATEWAY_PORT": gateways[0]} if gateways else {}
        operators = self._accounts.read(OPERATOR) if self._accounts else {}
        named = {name.upper(): url for name, url in operators.items()}
        self.local.write_env(self._env | named | self._administrators | gateway)

    # watching

    async def _watch(self) -> None:
        """Until told to stop. A server is looked at twice a second, a process until it is ready and then every 2 s."""
        announced = False
        tick = 0
        while not self._stopping.is_set():
            async with self._order:
                if await self.servers.revive():
                    await self._follow_addresses()
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

    async def _follow_addresses(self) -> None:
        """Somebody may have taken a port while the server was down: then it is elsewhere now."""
        if self._take_addresses():
            await asyncio.gather(*(child.stop() for child in self.children))
            self._ensure()
        self._changed()

    # orders

    def _ensure(self) -> None:
        self.servers.want_all()
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
                if server:
                    await self.servers.command(do, server)
                    await self._follow_addresses()
                elif child:
                    await self._command_child(do, child)
            except ServerFailed as failure:
                return {"ok": False, "error": str(failure)}
        self._changed()
        return {"ok": True, "state": self.described()}

    async def _command_child(self, do: str, child: Child) -> None:
        if do in ("stop", "restart"):
            await child.stop()
        if do in ("start", "restart"):
            child.start(self._env)

    # ending

    async def _end(self) -> None:
        self._enter("stopping")
        await asyncio.gather(*(child.stop() for child in self.children if is_gateway(child)))
        await asyncio.gather(*(child.stop() for child in self.children))
        await self.servers.stop()
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
