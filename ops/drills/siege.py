"""Load by `siege`: several sieges at once, each a member of its own, every answer counted by its status.

What counts is 2xx: siege itself takes a 401 for a success.
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
ANSWER = re.compile(rb"^HTTP/1\.[01] (\d{3}) +(\d+\.\d+) secs", re.MULTILINE)
BROKEN = re.compile(rb"^\[error\]", re.MULTILINE)
GRACE_SECONDS = 40.0
MEMBERS = 20


class NoSiegeError(Exception):
    """`siege` is not installed."""

    def __init__(self) -> None:
        super().__init__("siege is not installed: `make drill` installs it (`ops/bootstrap.sh drill`)")


@dataclass(frozen=True)
class Request:
    """What each client sends again and again; a body makes it a POST."""

    url: str
    body: dict[str, Any] | None = None

    def line(self) -> str:
        return self.url if self.body is None else f"{self.url} POST {json.dumps(self.body)}"


@dataclass
class Load:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: list[tuple[int, float]] = field(default_factory=list)
    """Status and seconds of each answer."""
    broken: int = 0
    """Requests without an answer."""
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.statuses.values()) + self.broken

    @property
    def good(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def availability(self) -> float:
        """Percent of 2xx."""
        return 100 * self.good / self.total if self.total else 0.0

    @property
    def rate(self) -> float:
        """2xx in a second."""
        return self.good / self.seconds if self.seconds else 0.0

    def add(self, heard: bytes) -> None:
        """Count what one siege printed."""
        self.took += [(int(status), float(seconds)) for status, seconds in ANSWER.findall(heard)]
        self.statuses = Counter(status for status, _ in self.took)
        self.broken += len(BROKEN.findall(heard))

    def slowest(self, status: int, share: float = 0.95) -> float:
        """Seconds within which that share of the answers with a status came."""
        took = sorted(seconds for found, seconds in self.took if found == status)
        return took[int(share * (len(took) - 1))] if took else 0.0

    def __str__(self) -> str:
        others = {str(status): count for status, count in sorted(self.statuses.items()) if not 200 <= status < 300}
        others |= {"no answer": self.broken} if self.broken else {}
        rest = "".join(f", {count} x {what}" for what, count in others.items())
        return f"{self.good} x 2xx of {self.total} ({self.availability:.2f} %){rest}"


class Siege:
    """A load under way; what each member is told is in a file of its own."""

    def __init__(self) -> None:
        self._processes: dict[Path, asyncio.subprocess.Process] = {}
        self._since = time.monotonic()

    async def begin(self, place: Path, token: str, clients: int, seconds: float, rests: list[str]) -> None:
        heard = place / f"{len(self._processes)}.log"
        with heard.open("wb") as stream:
            self._processes[heard] = await asyncio.create_subprocess_exec(
                *("siege", "-R", str(place / "siegerc"), "-f", str(place / "urls"), *rests, "-i"),
                *("-c", str(clients), "-t", f"{seconds:.0f}S", "-T", "application/json"),
                *("-H", f"Authorization: Bearer {token}"),
                env={"HOME": str(place), "PATH": os.environ.get("PATH", os.defpath)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )

    @property
    def under_way(self) -> bool:
        """Whether every member still asks."""
        return all(process.returncode is None for process in self._processes.values())

    async def end(self, at_most: float | None = None) -> Load:
        """Wait for its end, and count; a siege that hangs when it is over is killed, it has told what it heard."""
        try:
            async with asyncio.timeout(at_most and at_most + GRACE_SECONDS):
                await asyncio.gather(*(process.wait() for process in self._processes.values()))
            seconds = time.monotonic() - self._since
        except TimeoutError:
            self.kill()
            await asyncio.gather(*(process.wait() for process in self._processes.values()))
            seconds = at_most or 0.0
        load = Load(seconds=seconds)
        for heard in self._processes:
            load.add(heard.read_bytes())
        return load

    def finish(self) -> None:
        """As Ctrl-C would: it prints what it has."""
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()


def shares(clients: int, members: int) -> list[int]:
    """How many clients each member has, so that they are all of them."""
    least, more = divmod(clients, members)
    return [least + 1] * more + [least] * (members - more)


@asynccontextmanager
async def siege(
    requests: Sequence[Request],
    tokens: Sequence[str],
    clients: int,
    seconds: float,
    *,
    pause: float = 0.0,
    arrival: float = 0.0,
) -> AsyncIterator[Siege]:
    """`clients` spread over the members of `tokens`, each resting up to `pause` seconds between two requests.

    They begin at once, or member by member within the `arrival` seconds.
    """
    if shutil.which("siege") is None:
        raise NoSiegeError
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "siegerc").write_text(CONFIGURATION + f"benchmark = {'false' if pause else 'true'}\n")
        (place / "urls").write_text("".join(f"{request.line()}\n" for request in requests))
        started = Siege()
        rests = ["-d", f"{pause:g}"] if pause else ["-b"]
        try:
            for token, some in zip(tokens, shares(clients, len(tokens)), strict=True):
                await started.begin(place, token, some, seconds, rests)
                await asyncio.sleep(arrival / len(tokens))
            yield started
        finally:
            started.kill()


async def load(
    requests: Sequence[Request],
    tokens: Sequence[str],
    clients: int,
    seconds: float,
    *,
    pause: float = 0.0,
    arrival: float = 0.0,
) -> Load:
    """A load from its beginning to its end."""
    async with siege(requests, tokens, clients, seconds, pause=pause, arrival=arrival) as besieging:
        return await besieging.end(at_most=seconds)
