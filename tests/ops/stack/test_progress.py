"""A process that computes progresses, one that waits for something else does not."""

import subprocess
import sys
import time

import pytest

from ops.stack.processes import descendants
from ops.stack.progress import Progress, effort


@pytest.fixture
def child():
    started = []

    def start(program):
        started.append(subprocess.Popen([sys.executable, "-c", program]))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def stalls(progress, signs, pids, within):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if progress.is_stalled(signs, pids):
            return True
        time.sleep(0.02)
    return False


def test_a_process_that_computes_is_waited_for_and_one_that_sleeps_is_not(child):
    busy, idle = child("while True: pass"), child("import time; time.sleep(100)")

    assert not stalls(Progress(0.5), "", [busy], within=2)
    assert stalls(Progress(0.5), "", [idle], within=20)
    assert effort([busy]) > effort([idle])


def test_other_signs_count_as_progress():
    progress = Progress(0.2)
    changes = iter(range(10_000))

    assert not any(stalls(progress, next(changes), [], within=0.05) for _ in range(10))
    assert stalls(progress, "the same", [], within=5)


def test_a_process_that_has_ended_does_nothing():
    assert effort([2**22 + 1]) == 0.0
    assert descendants(2**22 + 1) == []
