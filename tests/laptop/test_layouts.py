"""The commands do the same whether contexts share a process or not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.laptop.conftest import LocalYeyak

MENU = "cafe.menu"


@pytest.fixture(scope="module", params=["shared", "each"])
def yeyak(request: pytest.FixtureRequest, make_yeyak: Callable[..., LocalYeyak]) -> Iterator[LocalYeyak]:
    made = make_yeyak(YEYAK_PROCESSES=request.param)
    made.run("up")
    yield made
    made.run("down")


def problems(yeyak: LocalYeyak) -> str:
    return " ".join(yeyak.status()["problems"])


def test_the_demo_plays(yeyak: LocalYeyak) -> None:
    assert "every step ended as expected" in yeyak.run("demo").stdout


def test_one_context_is_stopped_and_started(yeyak: LocalYeyak) -> None:
    yeyak.run("stop", MENU)
    assert f"{MENU} is not ready" in problems(yeyak)
    assert "cafe.orders is not ready" not in problems(yeyak)

    yeyak.run("start", MENU)

    yeyak.wait_ready()


def test_one_context_gets_settings_and_loses_them(yeyak: LocalYeyak) -> None:
    yeyak.run("restart", MENU, "--with", "YEYAK_DELAY_MS=cafe.menu=10")
    yeyak.wait_ready()
    assert yeyak.layout()[MENU] == [MENU]

    yeyak.run("restart", MENU)

    yeyak.wait_ready()


def test_a_context_is_scaled_and_the_rest_restarted(yeyak: LocalYeyak) -> None:
    yeyak.run("scale", f"{MENU}=2")
    yeyak.wait_ready()
    assert sum(contexts == [MENU] for contexts in yeyak.layout().values()) == 2

    yeyak.run("scale", f"{MENU}=1")
    yeyak.run("restart", "all")

    yeyak.wait_ready()


def test_the_log_of_a_context_is_followed(yeyak: LocalYeyak) -> None:
    following = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "logs", MENU],
        env=yeyak.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert following.stdout
        began = time.monotonic()
        line = following.stdout.readline()
        while "worker_ready" not in line and time.monotonic() - began < 30:
            line = following.stdout.readline()
    finally:
        following.kill()
        following.wait()

    assert MENU in line
