"""`YEYAK_FAILPOINTS`: the places at which a process is killed, and the pass at which it happens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from workers.runtime.processing import failpoints


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    kills: list[tuple[int, int]] = []
    monkeypatch.setattr(failpoints, "hook", None)
    monkeypatch.setattr(os, "kill", lambda pid, number: kills.append((pid, number)))
    return kills  # type: ignore[return-value]


async def reach(*places: str) -> None:
    for place in places:
        context, _, name = place.partition(":")
        assert failpoints.hook is not None
        await failpoints.hook(context, name)


ONCE = [(os.getpid(), signal.SIGKILL)]


def test_without_failpoints_there_is_no_hook(killed: list[tuple[int, int]]) -> None:
    failpoints.install("")

    assert failpoints.hook is None


async def test_a_process_is_killed_at_the_first_pass_of_its_failpoint(killed: list[tuple[int, int]]) -> None:
    failpoints.install("payments:outcome_known=kill")

    await reach("payments:written", "video_rental.rentals:outcome_known")
    assert killed == []
    await reach("payments:outcome_known")
    assert killed == ONCE


async def test_a_count_selects_the_pass(killed: list[tuple[int, int]]) -> None:
    failpoints.install("payments:outcome_known=kill@3")

    await reach("payments:outcome_known", "payments:outcome_known")
    assert killed == []
    await reach("payments:outcome_known")
    assert killed == ONCE


async def test_each_failpoint_has_its_own_count(killed: list[tuple[int, int]]) -> None:
    failpoints.install("payments:outcome_known=kill@2, payments:commit lost?=kill")

    await reach("payments:outcome_known")
    assert killed == []
    await reach("payments:commit lost?")
    assert killed == ONCE


async def test_a_leak_allocates_more_at_each_pass(killed: list[tuple[int, int]]) -> None:
    process = psutil.Process()
    failpoints.install("payments:outcome_known=leak@64")
    before = process.memory_info().rss

    await reach("payments:outcome_known", "payments:outcome_known", "payments:written")

    assert process.memory_info().rss - before > 100 * 2**20
    assert killed == []


@pytest.mark.parametrize(
    "wrong", ["payments:outcome_known", "payments:outcome_known=stop", "payments:outcome_known=kill@x", "=", "a=kill,,"]
)
def test_text_that_cannot_be_parsed_is_refused(killed: list[tuple[int, int]], wrong: str) -> None:
    with pytest.raises(ValueError, match="YEYAK_FAILPOINTS"):
        failpoints.install(wrong)
    assert failpoints.hook is None
