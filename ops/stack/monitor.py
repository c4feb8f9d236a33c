"""Health checks of child processes: readiness, liveness and memory."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import psutil

from ops.stack.child_process import ChildProcess
from ops.stack.waiting import until

SILENT_SECONDS, SILENT_PROBES = 10.0, 3
"""A process that was ready counts as frozen after so many seconds and so many probes without a response."""
FROZEN_GRACE, LEAKING_GRACE = 2.0, 20.0


class ChildMonitor:
    """Probes one child process; replaces it when it is frozen, or when it leaks and `may_replace` allows it."""

    def __init__(self, child: ChildProcess, may_replace: Callable[[ChildProcess], bool]) -> None:
        self.child = child
        self._may_replace = may_replace
        self._ready_pid: int | None = None
        self._last_response_at, self._failed_probes = 0.0, 0
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
        else:
            self._failed_probes += 1
        self._replace_if_unhealthy(pid)

    def _replace_if_unhealthy(self, pid: int) -> None:
        if self._failed_probes >= SILENT_PROBES and time.monotonic() - self._last_response_at > SILENT_SECONDS:
            self._replace(f"has not answered for {SILENT_SECONDS:.0f} s", FROZEN_GRACE)
        elif (held := resident(pid)) > self.child.spec.memory_limit and self._may_replace(self.child):
            self._replace(f"holds {held / 2**20:.0f} MiB", LEAKING_GRACE)

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


async def becomes_ready(child: ChildProcess, within: float) -> bool:
    """Wait until a child is ready; False when it is not ready in time."""

    async def is_ready() -> bool:
        return child.pid is not None and await answers(child.spec.ready_url)

    ready = await until(is_ready, within)
    child.set_ready(ready)
    return ready
