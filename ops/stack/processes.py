"""Finding and ending operating system processes: found by an environment variable that only we set, ended by pid."""

import contextlib
import ctypes
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterable

import psutil

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def dying_with_parent(parent: int, signum: int = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `signum` to the child when the *thread* that started it has ended."""

    def set_death_signal() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return set_death_signal


def raise_file_limit() -> None:
    """Raise the limit of open files to the hard limit: RabbitMQ needs one for each connection."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def marked(name: str, value: str) -> list[psutil.Process]:
    """Living processes that carry the environment variable `name=value`: a reused pid never does."""
    return _living(lambda process: process.environ().get(name) == value)


def titled(executable: str, text: str) -> list[psutil.Process]:
    """Living processes of that executable with `text` in their command line, which every user may read."""
    return _living(lambda process: process.name() == executable and text in " ".join(process.cmdline()))


def _living(belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and belongs(process) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def descendants(pid: int) -> list[int]:
    """The pids of a process and of all that it has started, directly or not; empty when it has ended."""
    with contextlib.suppress(psutil.Error):
        return [pid, *(process.pid for process in psutil.Process(pid).children(recursive=True))]
    return []


def first(candidates: Iterable[psutil.Process], belongs: Callable[[psutil.Process], bool]) -> psutil.Process | None:
    """The first process for which `belongs` is true; one that ends meanwhile is skipped."""
    for process in candidates:
        with contextlib.suppress(psutil.Error):
            if belongs(process):
                return process
    return None


def is_alive(process: psutil.Process | None) -> bool:
    """False for a zombie and for a pid that now belongs to another process."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def send(processes: Iterable[psutil.Process], signum: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(signum)


def wait_gone(processes: Iterable[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait for the processes to end; returns those still alive after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    return [process for process in list(processes) if not _ends(process, deadline)]


def _ends(process: psutil.Process, deadline: float) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(process):  # the pid belongs to another process by now
            return True
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(max(0.0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(descriptor)
