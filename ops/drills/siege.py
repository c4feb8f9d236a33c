"""Load by `siege`: one process for each member, every response counted by its status.

Only 2xx count as good: siege itself counts a 401 as a success.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIGURATION = """\
verbose = true
color = off
quiet = false
show-logfile = false
logging = false
json_output = false
protocol = HTTP/1.1
parser = false
connection = close
timeout = 30
failures = 1000000
limit = 1000
cache = false
"""
RESPONSE = re.compile(rb"^HTTP/1\.[01] (\d{3}) +(\d+\.\d+) secs", re.MULTILINE)
NO_RESPONSE = re.compile(rb"^\[error\]", re.MULTILINE)
GRACE_SECONDS = 40.0
MEMBERS = 20


class NoSiegeError(Exception):
    """`siege` is not installed."""

    def __init__(self) -> None:
        super().__init__("siege is not installed: `make drill` installs it (`ops/bootstrap.sh drill`)")


@dataclass(frozen=True)
class SiegeRequest:
    """A request that each client repeats; with a body it is a POST."""

    url: str
    body: dict[str, Any] | None = None

    def line(self) -> str:
        return self.url if self.body is None else f"{self.url} POST {json.dumps(self.body)}"


@dataclass
class LoadResult:
    """The responses to a load."""

    statuses: Counter[int] = field(default_factory=Counter)
    durations: list[tuple[int, float]] = field(default_factory=list)
    """Status and seconds of each response."""
    without_response: int = 0
    """Number of requests without a response."""
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.statuses.values()) + self.without_response

    @property
    def good(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def availability(self) -> float:
        """Percentage of 2xx responses."""
        return 100 * self.good / self.total if self.total else 0.0

    @property
    def rate(self) -> float:
        """2xx responses per second."""
        return self.good / self.seconds if self.seconds else 0.0

    def add(self, output: bytes) -> None:
        """Add the output of one siege process."""
        self.durations += [(int(status), float(seconds)) for status, seconds in RESPONSE.findall(output)]
        self.statuses = Counter(status for status, _ in self.durations)
        self.without_response += len(NO_RESPONSE.findall(output))

    def slowest(self, status: int, share: float = 0.95) -> float:
        """The seconds within which that share of the responses with a status came."""
        durations = sorted(seconds for found, seconds in self.durations if found == status)
        return durations[int(share * (len(durations) - 1))] if durations else 0.0

    def __str__(self) -> str:
        others = {str(status): count for status, count in sorted(self.statuses.items()) if not 200 <= status < 300}
        others |= {"no answer": self.without_response} if self.without_response else {}
        rest = "".join(f", {count} x {what}" for what, count in others.items())
        return f"{self.good} x 2xx of {self.total} ({self.availability:.2f} %){rest}"


class Siege:
    """A running load; the output of each process is in a file of its own."""

    def __init__(self) -> None:
        self._processes: dict[Path, asyncio.subprocess.Process] = {}
        self._since = time.monotonic()

    async def start(self, folder: Path, token: str, clients: int, seconds: float, pause_options: list[str]) -> None:
        output = folder / f"{len(self._processes)}.log"
        with output.open("wb") as stream:
            self._processes[output] = await asyncio.create_subprocess_exec(
                *("siege", "-R", str(folder / "siegerc"), "-f", str(folder / "urls"), *pause_options, "-i"),
                *("-c", str(clients), "-t", f"{seconds:.0f}S", "-T", "application/json"),
                *("-H", f"Authorization: Bearer {token}"),
                env={"HOME": str(folder), "PATH": os.environ.get("PATH", os.defpath)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    @property
    def is_running(self) -> bool:
        """Whether every process still runs."""
        return all(process.returncode is None for process in self._processes.values())

    async def end(self, at_most: float | None = None) -> LoadResult:
        """Wait for the end and count; processes that hang after `at_most` seconds are killed, their output counts."""
        try:
            async with asyncio.timeout(at_most and at_most + GRACE_SECONDS):
                await asyncio.gather(*(process.wait() for process in self._processes.values()))
            seconds = time.monotonic() - self._since
        except TimeoutError:
            self.kill()
            await asyncio.gather(*(process.wait() for process in self._processes.values()))
            seconds = at_most or 0.0
        load = LoadResult(seconds=seconds)
        for output in self._processes:
            load.add(output.read_bytes())
        return load

    def stop(self) -> None:
        """Send SIGINT, on which siege prints what it has and ends."""
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()


def split_evenly(clients: int, members: int) -> list[int]:
    """Divide clients among members as evenly as possible."""
    least, more = divmod(clients, members)
    return [least + 1] * more + [least] * (members - more)


@asynccontextmanager
async def siege(
    requests: Sequence[SiegeRequest],
    tokens: Sequence[str],
    clients: int,
    seconds: float,
    *,
    pause: float = 0.0,
    arrival: float = 0.0,
) -> AsyncIterator[Siege]:
    """Run clients, divided among the members of `tokens`, each pausing up to `pause` seconds between requests.

    They start at once, or member by member within `arrival` seconds.
    """
    if shutil.which("siege") is None:
        raise NoSiegeError
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "siegerc").write_text(CONFIGURATION + f"benchmark = {'false' if pause else 'true'}\n")
        (folder / "urls").write_text("".join(f"{request.line()}\n" for request in requests))
        running = Siege()
        pause_options = ["-d", f"{pause:g}"] if pause else ["-b"]
        try:
            for token, share in zip(tokens, split_evenly(clients, len(tokens)), strict=True):
                await running.start(folder, token, share, seconds, pause_options)
                await asyncio.sleep(arrival / len(tokens))
            yield running
        finally:
            running.kill()


async def load(
    requests: Sequence[SiegeRequest],
    tokens: Sequence[str],
    clients: int,
    seconds: float,
    *,
    pause: float = 0.0,
    arrival: float = 0.0,
) -> LoadResult:
    """Run a load to its end and return the result."""
    async with siege(requests, tokens, clients, seconds, pause=pause, arrival=arrival) as running:
        return await running.end(at_most=seconds)
