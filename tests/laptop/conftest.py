"""A system in a folder of its own, and the `yeyak` that commands it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.stack.local import PROCESS_MARK, Local
from ops.stack.servers import PostgresServer, RabbitServer
from ops.stack.servers.rabbitmq import MARK

UP_SECONDS = 600.0


@dataclass(frozen=True)
class LocalYeyak:
    """The command line on a folder."""

    here: Local
    environment: dict[str, str]

    def run(self, *words: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; with `check` it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *words],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, f"yeyak {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def layout(self) -> dict[str, list[str]]:
        """The processes and their contexts."""
        return {one["name"]: one["contexts"] for one in self.here.read_state()["processes"]}

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json", check=False).stdout))

    def wait_ready(self, within: float = 120.0) -> None:
        deadline = time.monotonic() + within
        while not (status := self.status())["ready"]:
            assert time.monotonic() < deadline, status["problems"]

    def processes(self) -> list[psutil.Process]:
        """The supervisor, its children, and the servers with their children."""
        rabbit, postgres = RabbitServer(self.here.root), PostgresServer(self.here.root)
        supervisor = psutil.Process(self.here.supervisor_pid() or 0)
        marks = {(PROCESS_MARK, str(self.here.root)), (MARK, rabbit.identity)}
        found = [supervisor, *postgres._find_all()]
        for process in psutil.process_iter():
            try:
                if marks & process.environ().items() and process not in found:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def make_yeyak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalYeyak]]:
    """A function that makes a folder with its `yeyak`; the system in it is deleted in the end."""
    made: list[LocalYeyak] = []

    def make(root: Path | None = None, **variables: str) -> LocalYeyak:
        here = Local(root or tmp_path_factory.mktemp("local"))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("YEYAK_")}
        own = {"YEYAK_LOCAL": str(here.root), "YEYAK_ENGINE": "private", **variables}
        made.append(LocalYeyak(here, inherited | own))
        return made[-1]

    yield make
    for one in made:
        one.run("reset", "--yes")
