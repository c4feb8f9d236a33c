"""The environment of one run: private servers, processes on them, and load generators; all end with this process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import inspect
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.stack import processes
from ops.stack.files import last_line
from ops.stack.local import REPOSITORY
from ops.stack.servers import PostgresServer, RabbitServer, start_all, stop_all

READY_WITHIN = 60.0


class BenchFailed(Exception):
    """A run failed; the text is one sentence that names the log to read."""


class Environment:
    """The servers and processes of one run, in a folder of its own, which is emptied first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rabbit = RabbitServer(root, die_with_parent=True)
        self.postgres = PostgresServer(root, die_with_parent=True)
        self._processes: list[subprocess.Popen[str]] = []

    @contextmanager
    def up(self) -> Iterator[None]:
        with _locked(self.root):
            self._empty()
            start_all(self.rabbit, self.postgres)
            try:
                yield
            finally:
                self._stop_processes()
                stop_all(self.rabbit, self.postgres)
                self._empty()

    @property
    def pids(self) -> dict[str, int]:
        pids = {"beam.smp": self.rabbit.pid, "postgres": self.postgres.pid}
        return {name: pid for name, pid in pids.items() if pid}

    def log_of(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def start(
        self, name: str, argv: list[str], env: Mapping[str, str], *, piped: bool = False
    ) -> subprocess.Popen[str]:
        """Start `python -m ARGV` with a log of its own; `piped` keeps a pipe to its stdin and stdout."""
        log = self.log_of(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as stream:
            child = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=REPOSITORY,
                env=os.environ | env,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else stream,
                stderr=stream,
                text=True,
                start_new_session=True,
                preexec_fn=processes.dying_with_parent(os.getpid()),
            )
        self._processes.append(child)
        return child

    def run(self, name: str, argv: list[str], env: Mapping[str, str]) -> None:
        """Run a command to its end; raises BenchFailed."""
        if self.start(name, argv, env).wait(timeout=READY_WITHIN):
            raise BenchFailed(f"{' '.join(argv)} failed ({last_line(self.log_of(name))}): read {self.log_of(name)}")

    def _stop_processes(self) -> None:
        for child in self._processes:
            child.terminate()
        for child in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=20)
            child.kill()
            child.wait()

    def _empty(self) -> None:
        self.rabbit.destroy()
        self.postgres.destroy()


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchFailed(f"another bench runs in {root}") from None
        shutil.rmtree(root / "logs", ignore_errors=True)
        yield


class LoadGenerator:
    """A load generator process, one job at a time; see `bench.load`."""

    def __init__(self, environment: Environment, env: Mapping[str, str], name: str = "load") -> None:
        self._log = environment.log_of(name)
        self._process = environment.start(name, ["bench.load"], env, piped=True)
        self.pid = self._process.pid
        self._line()

    def begin(self, job: str, **given: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": job, **given}) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Wait for the result of the job that was begun."""
        return dict(json.loads(self._line()))

    def do(self, job: str, **given: Any) -> dict[str, Any]:
        self.begin(job, **given)
        return self.end()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchFailed(f"the load generator ended ({last_line(self._log)}): read {self._log}")
        return line


async def until(
    holds: Callable[[], Any], problem: str | Callable[[], str], within: float = READY_WITHIN, every: float = 0.1
) -> None:
    """Wait until a function, or the awaitable that it returns, is true; raises BenchFailed with the problem."""
    deadline = time.monotonic() + within
    while True:
        found = holds()
        if await found if inspect.isawaitable(found) else found:
            return
        if time.monotonic() > deadline:
            raise BenchFailed(problem if isinstance(problem, str) else problem())
        await asyncio.sleep(every)
