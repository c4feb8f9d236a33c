"""One child process of the system, kept alive."""

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
from ops.stack.output import say
from ops.stack.processes import dying_with_parent

State = Literal["starting", "running", "stopped", "backoff"]
FIRST_PAUSE, LONGEST_PAUSE, SETTLED_AFTER = 0.2, 5.0, 10.0


@dataclass(frozen=True)
class Plan:
    """What to run; `ready_url` answers 200 when the process can work."""

    name: str
    argv: list[str]
    ready_url: str
    of: str = ""
    """Of what this is a replica: a context, or `gateway`."""
    contexts: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.ready_url.removesuffix("/ready")

    @property
    def live_url(self) -> str:
        return f"{self.url}/live"


class Child:
    """Runs a plan again and again until told to stop; the kernel ends it with its supervisor."""

    def __init__(self, plan: Plan, local: Local, changed: Callable[[], None]) -> None:
        self.plan = plan
        self.state: State = "stopped"
        self.ready = False
        self.restarts = 0
        self.replaced: str | None = None
        """Why it was replaced last."""
        self.is_ending = False
        """It is being replaced."""
        self.failures_in_a_row = 0
        self.started_at: datetime | None = None
        self._local = local
        self._changed = changed
        self._env: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._unwanted = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, env: dict[str, str]) -> None:
        """Does nothing while it runs; cuts a pause after a crash short."""
        self._env = env
        self.failures_in_a_row = 0
        self._unwanted.clear()
        self._hurry.set()
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep(), name=self.plan.name)

    async def stop(self, grace: float = 20.0) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        self._unwanted.set()
        self._hurry.set()
        self._signal(signal.SIGTERM)
        if self._keeping is None:
            return
        done, _ = await asyncio.wait([self._keeping], timeout=grace)
        if not done:
            self._signal(signal.SIGKILL)
            await asyncio.wait([self._keeping])

    async def replace(self, reason: str, grace: float) -> None:
        """End a process that is no good; another takes its place."""
        process = self._process
        if process is None:
            return
        self.replaced = reason
        say(f"{self.plan.name} {reason}: another takes its place")
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def note_ready(self, ready: bool) -> None:
        if self._process is None or ready == self.ready:
            return
        self.ready = ready
        if ready:
            self.state = "running"
            self.failures_in_a_row = 0
        self._changed()

    def described(self) -> dict[str, Any]:
        return {
            "name": self.plan.name,
            "contexts": self.plan.contexts,
            "pid": self.pid,
            "state": self.state,
            "ready": self.ready,
            "restarts": self.restarts,
            "replaced": self.replaced,
            "failures_in_a_row": self.failures_in_a_row,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "health_url": self.plan.url,
        }

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._unwanted.is_set():
            born = time.monotonic()
            await self._run_once()
            if self._unwanted.is_set():
                break
            self.restarts += 1
            self.failures_in_a_row += 1
            pause = FIRST_PAUSE if time.monotonic() - born > SETTLED_AFTER else pause
            self._become("backoff")
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._become("stopped")

    async def _run_once(self) -> None:
        try:
            self._process = await self._spawn()
        except OSError as error:
            say(f"{self.plan.name} cannot be started: {error}")
            return
        self.started_at, self.is_ending = datetime.now(UTC), False
        self._become("starting")
        if self._unwanted.is_set():
            self._signal(signal.SIGTERM)
        await self._process.wait()
        self._process = None
        self.ready = False

    async def _spawn(self) -> asyncio.subprocess.Process:
        log = self._local.log_of(self.plan.name)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        rotate(log)
        with log.open("ab") as stream:
            return await asyncio.create_subprocess_exec(
                *self.plan.argv,
                env=inherited() | self._env | self.plan.env | {PROCESS_MARK: str(self._local.root)},
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends its children in order
                preexec_fn=dying_with_parent(os.getpid()),
            )

    def _signal(self, signum: int) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    def _become(self, state: State) -> None:
        self.state = state
        self._changed()
