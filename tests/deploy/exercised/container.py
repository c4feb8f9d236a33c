"""Run a container as a local process: its files, environment, probes and signals.

Three things are not as in a cluster: `python` and `yeyak` are this checkout's, a pod's own address is one of this
machine's (127.1.0.0/16), and where a volume would be mounted there is a folder of the test's instead.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from ops.stack.processes import dying_with_parent

BIN = Path(sys.executable).parent
EVERYWHERE = "0.0.0.0"


class Container:
    """One container of a pod as a local process, with its volumes in a folder."""

    def __init__(self, name: str, root: Path, address: str, names: Mapping[str, str]) -> None:
        self.name = name
        self.address = address
        self.root = root / name
        self.log = root / f"{name}.log"
        self.mounts: dict[str, Path] = {}
        self.names = names
        """Addresses in the cluster (`rabbitmq:5672`), and the local addresses that replace them."""
        self._process: asyncio.subprocess.Process | None = None
        (self.root / "work").mkdir(parents=True)

    def mount(self, at: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.mounts[at] = folder

    def local_path(self, text: str) -> str:
        """Return the local path or address for one of the container."""
        under = [at for at in self.mounts if text == at or text.startswith(f"{at}/")]
        if under:
            at = max(under, key=len)
            return str(self.mounts[at]) + text.removeprefix(at)
        for there, local in self.names.items():
            text = text.replace(there, local)
        return text.replace(EVERYWHERE, self.address)

    def _command(self, words: list[str]) -> list[str]:
        return [str(BIN / words[0]) if (BIN / words[0]).exists() else words[0], *map(self.local_path, words[1:])]

    async def start(self, words: list[str], environment: Mapping[str, str]) -> None:
        """Start the process with exactly this environment."""
        own = {name: self.local_path(value) for name, value in environment.items()}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(words),
                env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"} | own,
                cwd=self.root / "work",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_parent(os.getpid()),
            )

    async def ended(self, within: float) -> int:
        """Wait for the end and return the exit code; raises TimeoutError."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def run(self, words: list[str], environment: Mapping[str, str], within: float = 60) -> int:
        """Start the process and wait for its end."""
        await self.start(words, environment)
        return await self.ended(within)

    async def terminate(self, within: float) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds that it took. Raises TimeoutError."""
        assert self._process is not None
        since = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return await self.ended(within), time.monotonic() - since

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    @property
    def memory(self) -> int:
        """Return the memory in use, in bytes."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> Iterator[Path]:
        """List the files that it holds open for writing, outside of its volumes and its log."""
        assert self._process is not None
        allowed = (*self.mounts.values(), self.log)
        for link in Path(f"/proc/{self._process.pid}/fd").iterdir():
            try:
                path, flags = link.readlink(), Path(f"/proc/{self._process.pid}/fdinfo/{link.name}").read_text()
            except FileNotFoundError:
                continue
            writes = int(flags.split("flags:")[1].split()[0], 8) & (os.O_WRONLY | os.O_RDWR)
            if writes and path.is_file() and not any(path.is_relative_to(place) for place in allowed):
                yield path


class Probe:
    """An HTTP probe with its period and its thresholds."""

    def __init__(self, spec: Mapping[str, int], url: str) -> None:
        self.period = spec.get("periodSeconds", 10)
        self.timeout = spec.get("timeoutSeconds", 1)
        self.patience = spec.get("failureThreshold", 3)
        self.url = url

    async def answers(self) -> bool:
        """Tell whether one request is answered with 2xx or 3xx within its time limit."""
        try:
            async with httpx.AsyncClient(timeout=self.timeout, trust_env=False) as client:
                return (await client.get(self.url)).status_code < 400
        except httpx.HTTPError:
            return False

    async def wait_until_answered(self, container: Container) -> None:
        """Probe periodically until it succeeds; raises TimeoutError after too many failures or the process's end."""
        for _ in range(self.patience):
            if not container.runs:
                raise TimeoutError("it ended by itself")
            next_one = asyncio.get_running_loop().time() + self.period
            if await self.answers():
                return
            await asyncio.sleep(next_one - asyncio.get_running_loop().time())
        raise TimeoutError(f"{self.url} failed {self.patience} times")
