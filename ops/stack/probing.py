"""Whether a process can work, whether it is alive, and how much it holds."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import psutil

from ops.stack.child_process import Child
from ops.stack.waiting import until

SILENT_SECONDS, SILENT_LOOKS = 10.0, 3
"""A process that was ready and then does not answer for so long, asked so often, is frozen."""
MEMORY_LIMIT = 500 * 2**20
"""As in deployment: a process that holds more is leaking."""
FROZEN_GRACE, LEAKING_GRACE = 2.0, 20.0


class Watch:
    """Looks at one child again and again; replaces it when it is frozen, or leaks and `may_go`."""

    def __init__(self, child: Child, may_go: Callable[[Child], bool]) -> None:
        self.child = child
        self._may_go = may_go
        self._watched: int | None = None
        self._heard, self._missed = 0.0, 0
        self._replacing: asyncio.Task[None] | None = None

    async def look(self) -> None:
        pid = self.child.pid
        if pid is None or (self._replacing and not self._replacing.done()):
            return
        ready = await answers(self.child.plan.ready_url)
        self.child.note_ready(ready)
        if ready:
            self._watched = pid
        if self._watched != pid:
            return  # it has not been ready yet: that may take its time
        if ready or await answers(self.child.plan.live_url, 2.0):
            self._heard, self._missed = time.monotonic(), 0
        else:
            self._missed += 1
        self._judge(pid)

    def _judge(self, pid: int) -> None:
        if self._missed >= SILENT_LOOKS and time.monotonic() - self._heard > SILENT_SECONDS:
            self._replace(f"has not answered for {SILENT_SECONDS:.0f} s", FROZEN_GRACE)
        elif (held := resident(pid)) > MEMORY_LIMIT and self._may_go(self.child):
            self._replace(f"holds {held / 2**20:.0f} MiB", LEAKING_GRACE)

    def _replace(self, reason: str, grace: float) -> None:
        """Beside the watch over the others: it may take its time."""
        self.child.is_ending = True  # at once: its replicas are judged next
        self._replacing = asyncio.create_task(self.child.replace(reason, grace))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 when it is gone."""
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


async def answers(url: str, timeout: float = 1.0) -> bool:
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


async def becomes_ready(child: Child, within: float) -> bool:
    """Wait until a child can work; False when it cannot in time."""

    async def can_work() -> bool:
        return child.pid is not None and await answers(child.plan.ready_url)

    ready = await until(can_work, within)
    child.note_ready(ready)
    return ready
