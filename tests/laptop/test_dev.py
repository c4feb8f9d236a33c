"""`yeyak dev`: one context in the foreground, restarted when a file changes, the others beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from ops.stack.local import REPOSITORY
from tests.laptop.conftest import LocalYeyak

MENU = "cafe.menu"


def test_a_context_is_taken_to_the_foreground_reloaded_and_given_back(make_yeyak: Callable[..., LocalYeyak]) -> None:
    yeyak = make_yeyak()
    dev = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "dev", MENU],
        env=yeyak.environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert dev.stdout
    lines = iter(dev.stdout.readline, "")
    try:
        assert any("worker_ready" in line for line in lines)
        assert MENU not in yeyak.layout()["workers"]
        assert "every step ended as expected" in yeyak.run("demo").stdout

        file = REPOSITORY / "workers/cafe/menu.py"
        os.utime(file, (time.time(), time.time()))

        assert any("workers/cafe/menu.py has changed" in line for line in lines)
        assert any("worker_ready" in line for line in lines)
        os.killpg(dev.pid, signal.SIGINT)
        assert any("runs beside the others again" in line for line in lines)
        assert dev.wait(60) == 0
    finally:
        if dev.poll() is None:
            os.killpg(dev.pid, signal.SIGKILL)
            dev.wait()

    assert MENU in yeyak.layout()["workers"]
    yeyak.wait_ready()
