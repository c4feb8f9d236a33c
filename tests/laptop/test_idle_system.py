"""What an idle system takes of a laptop. The goals are 1 GB, 5 % of a core and 15 s; a busy machine is allowed more."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from tests.laptop.conftest import LocalYeyak

MEGABYTES, CORE_PERCENT, READY_SECONDS, CPU_SECONDS_TO_START = 1000, 12.0, 90.0, 30.0
SETTLE_SECONDS, LOOK_SECONDS = 15.0, 30.0


@pytest.fixture(scope="module")
def idle(make_yeyak: Callable[..., LocalYeyak]) -> LocalYeyak:
    """A system that was installed by a first start."""
    yeyak = make_yeyak()
    yeyak.run("up")
    yeyak.run("down")
    return yeyak


def cpu_seconds(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def test_it_is_ready_soon_and_idles_in_little_memory_and_time(
    idle: LocalYeyak, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    idle.run("up")
    ready = time.monotonic() - began
    processes = idle.processes()
    starting = cpu_seconds(processes)

    time.sleep(SETTLE_SECONDS)
    before, since = cpu_seconds(processes), time.monotonic()
    time.sleep(LOOK_SECONDS)
    percent = 100 * (cpu_seconds(processes) - before) / (time.monotonic() - since)
    memory = sum(process.memory_full_info().pss for process in processes) / 1e6

    figures = f"ready in {ready:.1f} s ({starting:.1f} s of CPU), idle {memory:.0f} MB and {percent:.1f} % of a core"
    record_property("figures", figures)
    with capsys.disabled():
        print(f"\n{figures}")
    assert len(idle.layout()) == 3
    assert memory < MEGABYTES, figures
    assert percent < CORE_PERCENT, figures
    assert ready < READY_SECONDS, figures
    assert starting < CPU_SECONDS_TO_START, figures
