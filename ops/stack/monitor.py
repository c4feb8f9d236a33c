"""Health checks of child processes: readiness, liveness and memory."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import psutil

from ops.stack.child_process import GIVE_UP_AFTER, ChildProcess
from ops.stack.progress import BUSY_SHARE, Progress, effort
from ops.stack.waiting import until

SILENT_SECONDS, SILENT_PROBES = 10.0, 3
"""A process that was ready counts as frozen after so many seconds and so many probes without a response."""
BUSY_SECONDS = 120.0
"""The same, for one that computes or waits for a core meanwhile: the machine may be busy, and it no less."""
READY_PATIENCE = 60.0
"""Seconds for which a child that is not ready may do nothing."""
FROZEN_GRACE, LEAKING_GRACE = 2.0, 20.0


class ChildMonitor:
    """Probes one child process; replaces it when it is frozen, or when it leaks and `may_replace` allows it."""

    def __init__(
        self,
        child: ChildProcess,
        may_replace: Callable[[ChildProcess], bool],
        is_calm: Callable[[ChildProcess], bool] = lambda child: True,
    ) -> None:
        self.child = child
        self._may_replace, self._is_calm = may_replace, is_calm
        self._ready_pid: int | None = None
        self._last_response_at, self._failed_probes = 0.0, 0
        self._effort_then = 0.0
        self._replacing: asyncio.Task[None] | None = None

    async def probe(self) -> None:
        pid = self.child.pid
        if pid is None or (self._replacing and not self._replacing.done()):
            return
        ready = await answers(self.child.spec.ready_url)
        self.child.set_ready(ready)
        if ready:
            self._ready_pid = pid
        if self._ready_pid != pid:
            return  # still starting: only readiness is checked until it has been ready once
        if ready or await answers(self.child.spec.live_url, 2.0):
            self._last_response_at, self._failed_probes = time.monotonic(), 0
            self._effort_then = effort([pid])
        else:
            self._failed_probes += 1
        self._replace_if_unhealthy(pid)

    def _replace_if_unhealthy(self, pid: int) -> None:
        silent = time.monotonic() - self._last_response_at
        if self._failed_probes >= SILENT_PROBES and silent > self._silence_allowed(pid, silent):
            if self._is_calm(self.child):
                self._replace(f"has not answered for {silent:.0f} s", FROZEN_GRACE)
        elif (held := resident(pid)) > self.child.spec.memory_limit and self._may_replace(self.child):
            self._replace(f"holds {held / 2**20:.0f} MiB", LEAKING_GRACE)

    def _silence_allowed(self, pid: int, silent: float) -> float:
        is_busy = effort([pid]) - self._effort_then > BUSY_SHARE * silent
        return BUSY_SECONDS if is_busy else SILENT_SECONDS

    def _replace(self, reason: str, grace: float) -> None:
        """Replace in the background: the probes of other children go on meanwhile."""
        self.child.is_being_replaced = True  # at once: its replicas are checked next
        self._replacing = asyncio.create_task(self.child.replace(reason, grace))


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 when it is gone."""
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


async def answers(url: str, timeout: float = 1.0) -> bool:
    """Whether a GET of `http://host:port/path` returns 200 within `timeout` seconds."""
    return (await get(url, timeout))[0] == 200


async def get(url: str, timeout: float = 1.0) -> tuple[int, bytes]:
    """The status and the body of a GET of `http://host:port/path`; 0 without an answer in time."""
    address, _, path = url.removeprefix("http://").partition("/")
    host, _, port = address.partition(":")
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                return int(head.split()[1]), body
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, b""


async def becomes_ready(child: ChildProcess) -> bool:
    """Wait until a child is ready; False when it keeps ending, or does nothing to become ready."""
    progress = Progress(READY_PATIENCE)

    async def outcome() -> str:
        pid = child.pid
        if pid is not None and await answers(child.spec.ready_url):
            return "ready"
        if child.failures_in_a_row >= GIVE_UP_AFTER:
            return "ends"
        return "stalled" if progress.is_stalled(child.restarts, [pid] if pid else []) else ""

    ready = await until(outcome, float("inf")) == "ready"
    child.set_ready(ready)
    return ready
