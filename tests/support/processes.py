"""The system as real processes: started by a test, started again when they die, ended by pid with the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from ops.accounts.files import Folder
from ops.settings import SystemSettings
from ops.stack.local import SERVER_ADDRESSES
from ops.stack.monitor import answers
from ops.stack.processes import dying_with_parent
from workers.runtime.settings import PREFIX

GATEWAY = "gateway"
PAUSE_SECONDS = 0.1


def environment(settings: SystemSettings) -> dict[str, str]:
    """The settings that were given, as a process reads them; its addresses are in its account's files."""
    given = {PREFIX + name.upper(): _text(getattr(settings, name)) for name in settings.model_fields_set}
    return {name: value for name, value in given.items() if name not in SERVER_ADDRESSES}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=_text)
    return str(value)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """One process, which is started again whenever it dies, until it is ended."""

    def __init__(self, name: str, settings: SystemSettings, log: Path, accounts: Folder) -> None:
        context = name.partition(" ")[0]
        self.name = name
        self.port = free_port()
        self.ends: list[int] = []
        """The exit code of each run; the negative number of a signal."""
        self.failpoints = ""
        """`YEYAK_FAILPOINTS` of the next run only."""
        self.overrides: dict[str, str] = {}
        self._argv = ["-m", "gateway_api"] if context == GATEWAY else ["-m", "workers", context]
        self._env = environment(settings) | {
            "YEYAK_PROCESS": name,
            "YEYAK_SECRETS_DIR": str(accounts.of(context)),
            "YEYAK_GATEWAY_PORT" if context == GATEWAY else "YEYAK_HEALTH_PORT": str(self.port),
        }
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._unwanted = False
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while not self._unwanted:
            more = self.overrides | ({"YEYAK_FAILPOINTS": self.failpoints} if self.failpoints else {})
            self.failpoints = ""
            with self._log.open("ab") as stream:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *self._argv,
                    env=os.environ | self._env | more,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    preexec_fn=dying_with_parent(os.getpid()),
                )
            self.ends.append(await self._process.wait())
            self._process = None
            await asyncio.sleep(PAUSE_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process, if it lives."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def is_ready(self) -> bool:
        return self._process is not None and await answers(f"http://127.0.0.1:{self.port}/ready")

    async def end(self) -> None:
        self._unwanted = True
        self.signal(signal.SIGKILL)
        await self._keeping


class Processes:
    """Worker processes and a gateway, each with its account; `payments (second)` names another replica."""

    def __init__(self, settings: SystemSettings, logs: Path, accounts: Folder) -> None:
        self.settings = settings
        self._accounts = accounts
        self._logs = logs
        self._running: dict[str, Running] = {}

    def __getitem__(self, name: str) -> Running:
        return self._running[name]

    @property
    def names(self) -> list[str]:
        return list(self._running)

    @property
    def url(self) -> str:
        """The gateway's URL; it stays the same when the gateway is started again."""
        return f"http://127.0.0.1:{self._running[GATEWAY].port}"

    async def start(self, *names: str, **overrides: str) -> None:
        """Start processes, and wait until they are ready; `overrides` are environment variables for them."""
        for name in names:
            self._running[name] = Running(name, self.settings, self._log_of(name), self._accounts)
            self._running[name].overrides = overrides
        await self.ready()

    def _log_of(self, name: str) -> Path:
        return self._logs / f"{name.replace(' ', '_')}.log"

    async def ready(self, within: float = 40) -> None:
        """Wait until every process is ready; fails with those that are not."""
        deadline = time.monotonic() + within
        while waiting := [running for running in self._running.values() if not await running.is_ready()]:
            if time.monotonic() > deadline:
                ends = {running.name: (running.ends, _last_line(running)) for running in waiting}
                raise AssertionError(f"not ready within {within} s: {ends}")
            await asyncio.sleep(0.05)

    async def arm(self, name: str, failpoints: str) -> int:
        """Restart a process with failpoints; returns how often it had ended before."""
        running = self._running[name]
        running.failpoints = failpoints
        lives = len(running.ends) + 1
        running.signal(signal.SIGKILL)
        while len(running.ends) < lives:
            await asyncio.sleep(0.01)
        await self.ready()
        return lives

    async def end(self, *names: str) -> None:
        """End processes, all of them when none is named; they are not started again."""
        await asyncio.gather(*(self._running.pop(name).end() for name in names or self.names))


def _last_line(running: Running) -> str:
    lines = running._log.read_text(errors="replace").splitlines() if running._log.exists() else []
    return lines[-1][-300:] if lines else ""
