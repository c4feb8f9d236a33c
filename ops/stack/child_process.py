"""A child process of the supervisor, restarted with growing backoff whenever it ends."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ops.stack.files import rotate
from ops.stack.local import PROCESS_MARK, REPOSITORY, Local, inherited
from ops.stack.output import print_timestamped
from ops.stack.processes import dying_with_parent

State = Literal["starting", "running", "stopped", "backoff"]
FIRST_BACKOFF, LONGEST_BACKOFF, STABLE_AFTER = 0.2, 5.0, 10.0

GIVE_UP_AFTER = 4
"""Crashes in a row after which nobody waits for a process any longer; it is started again all the same."""


@dataclass(frozen=True)
class ProcessSpec:
    """What to run; `ready_url` answers 200 when the process can serve."""

    name: str
    argv: list[str]
    ready_url: str
    service: str = ""
    """What this is a replica of: a context, `gateway`, `balancer` or `exporter`."""
    contexts: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    memory_limit: int = 500 * 2**20
    """Bytes; a process that holds more counts as leaking. The same limit as in deploy/kubernetes."""

    @property
    def url(self) -> str:
        return self.ready_url.removesuffix("/ready")

    @property
    def live_url(self) -> str:
        return f"{self.url}/live"


class ChildProcess:
    """Keeps one process running until `stop`; the kernel kills the process when the supervisor dies."""

    def __init__(self, spec: ProcessSpec, local: Local, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.state: State = "stopped"
        self.ready = False
        self.restarts = 0
        self.replaced: str | None = None
        """The reason of the last replacement."""
        self.is_being_replaced = False
        """A replacement has been decided and the new process does not run yet."""
        self.failures_in_a_row = 0
        self.started_at: datetime | None = None
        self._local = local
        self._changed = changed
        self._env: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop_requested = asyncio.Event()
        self._retry_now = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def age(self) -> float:
        """Seconds since the last start; 0 before the first."""
        return (datetime.now(UTC) - self.started_at).total_seconds() if self.started_at else 0.0

    def start(self, env: dict[str, str]) -> None:
        """Start the process, at once if it waits after a crash; does nothing while it runs."""
        self._env = env
        self.failures_in_a_row = 0
        self._stop_requested.clear()
        self._retry_now.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self.spec.name)

    async def stop(self, grace: float = 20.0) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds; returns when the process has ended."""
        self._stop_requested.set()
        self._retry_now.set()
        self.signal(signal.SIGTERM)
        if self._task is None:
            return
        done, _ = await asyncio.wait([self._task], timeout=grace)
        if not done:
            self.signal(signal.SIGKILL)
            await asyncio.wait([self._task])

    async def replace(self, reason: str, grace: float) -> None:
        """End the process, with SIGKILL after `grace` seconds; it is started again like one that crashed."""
        process = self._process
        if process is None:
            return
        self.replaced = reason
        print_timestamped(f"{self.spec.name} {reason}: replacing it")
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def set_ready(self, ready: bool) -> None:
        if self._process is None or ready == self.ready:
            return
        self.ready = ready
        if ready:
            self.state = "running"
            self.failures_in_a_row = 0
        self._changed()

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.spec.name,
            "contexts": self.spec.contexts,
            "pid": self.pid,
            "state": self.state,
            "ready": self.ready,
            "restarts": self.restarts,
            "replaced": self.replaced,
            "failures_in_a_row": self.failures_in_a_row,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "health_url": self.spec.url,
        }

    async def _run(self) -> None:
        backoff = FIRST_BACKOFF
        while not self._stop_requested.is_set():
            started = time.monotonic()
            await self._run_once()
            if self._stop_requested.is_set():
                break
            self.restarts += 1
            self.failures_in_a_row += 1
            backoff = FIRST_BACKOFF if time.monotonic() - started > STABLE_AFTER else backoff
            self._set_state("backoff")
            self._retry_now.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._retry_now.wait(), backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)
        self._set_state("stopped")

    async def _run_once(self) -> None:
        try:
            self._process = await self._spawn()
        except OSError as error:
            print_timestamped(f"{self.spec.name} cannot be started: {error}")
            return
        self.started_at, self.is_being_replaced = datetime.now(UTC), False
        self._set_state("starting")
        if self._stop_requested.is_set():
            self.signal(signal.SIGTERM)
        await self._process.wait()
        self._process = None
        self.ready = False

    async def _spawn(self) -> asyncio.subprocess.Process:
        log = self._local.log_of(self.spec.name)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotate(log)
        with log.open("ab") as stream:
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                env=inherited() | self._env | self.spec.env | {PROCESS_MARK: str(self._local.root)},
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C reaches only the supervisor, which stops its children in order
                preexec_fn=dying_with_parent(os.getpid()),
            )

    def signal(self, signum: int) -> None:
        """Send a signal to the process, if it runs."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    def _set_state(self, state: State) -> None:
        self.state = state
        self._changed()
