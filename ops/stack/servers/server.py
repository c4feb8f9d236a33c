"""The base class of private servers: starts, finds and stops one server under a root folder."""

import contextlib
import fcntl
import hashlib
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from ops.stack import processes
from ops.stack.files import last_line, read_or_create_secret, rotate, write_atomically
from ops.stack.ports import read_or_choose_ports, read_ports
from ops.stack.progress import PATIENCE, Progress
from ops.stack.waiting import wait_until


class ServerFailed(Exception):
    """A server could not be started; the text is one sentence that names the log to read."""


class Server(ABC):
    """One server process tree under `root`.

    With `die_with_parent` the kernel ends it when the thread that started it ends (for tests).
    """

    name: str
    port_names: tuple[str, ...]

    def __init__(
        self, root: Path, *, preferred_ports: Mapping[str, int] | None = None, die_with_parent: bool = False
    ) -> None:
        self.root = root.absolute()
        self.home = self.root / self.name
        self.log = self.root / "logs" / f"{self.name}.log"
        self._preferred = dict(preferred_ports or {})
        self._die_with_parent = die_with_parent
        self._child: subprocess.Popen[bytes] | None = None
        self._known: psutil.Process | None = None

    @property
    def identity(self) -> str:
        """A name that is unique per root on this machine; the node or cluster and its processes carry it."""
        return "yeyak-" + hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    @property
    def ports(self) -> dict[str, int]:
        return read_ports(self.home / "ports.json")

    @property
    def password(self) -> str:
        return read_or_create_secret(self.home / "password")

    @property
    def url(self) -> str | None:
        """Where clients connect; None before the first start."""
        return self._url() if self.ports else None

    @property
    def pid(self) -> int | None:
        """The main process; None while the server is down."""
        if self._child:
            self._child.poll()
        if not processes.is_alive(self._known):
            self._known = self._find_main()
        return self._known.pid if self._known else None

    def is_running(self) -> bool:
        return self.pid is not None

    def start(self, patience: float = PATIENCE) -> None:
        """Start the server and return when it answers; does nothing while it runs. Raises ServerFailed."""
        self.launch()
        self.wait_ready(patience)

    def launch(self) -> None:
        """Start the process without waiting for it."""
        with self._locked():
            if self.is_running():
                return
            self._end(signal.SIGKILL, self._find_all())
            self._prepare()
            rotate(self.log)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            ports = read_or_choose_ports(self.home / "ports.json", list(self.port_names), self._preferred)
            self._child = self._spawn(ports)
            self._known = self._wait_until_found(self._child)

    def _wait_until_found(self, child: subprocess.Popen[bytes]) -> psutil.Process | None:
        """Wait until `_find_main` finds the new process; the lock is held so long that no second one is started."""
        wait_until(lambda: child.poll() is not None or self._find_main() is not None, within=5.0, every=0.01)
        return self._find_main()

    def wait_ready(self, patience: float = PATIENCE) -> None:
        """Wait until the server answers; one that ends before that is launched once more. Raises ServerFailed.

        It may take as long as it likes, but not do nothing for `patience` seconds.
        """
        outcome = self._outcome(patience)
        if outcome == "gone":
            self.launch()
            outcome = self._outcome(patience)
        if outcome == "gone":
            raise ServerFailed(f"{self.name} does not start ({last_line(self.log)}): read {self.log}")
        if outcome != "answers":
            raise ServerFailed(f"{self.name} has done nothing for {patience:.0f} s: read {self.log}")
        self._finish_setup()

    def _outcome(self, patience: float) -> str:
        """`answers`, `gone` or `stalled`."""
        progress = Progress(patience)

        def look() -> str:
            if self._answers():
                return "answers"
            pid = self.pid
            if pid is None:
                return "gone"
            return "stalled" if progress.is_stalled(pid, [pid]) else ""

        return wait_until(look, float("inf"))

    def stop(self, timeout: float = 30.0) -> None:
        """Stop the server, with SIGKILL after `timeout` seconds; does nothing when it is down."""
        with self._locked():
            if self.pid:
                self._end(self._stop_signal, [psutil.Process(self.pid)], timeout)
            self._end(signal.SIGKILL, self._find_all())
            self._reap()

    def kill(self) -> None:
        """Send SIGKILL to every process of this server, like a power cut."""
        self._end(signal.SIGKILL, self._find_all())
        self._reap()

    def forget(self) -> None:
        """Have the next start begin with empty data; ports and password stay. Only while the server is down."""
        (self.home / "made").unlink(missing_ok=True)

    def destroy(self) -> None:
        """Kill the server and delete its data, ports and password; the log is kept."""
        self.kill()
        home = self.home.resolve()
        self.home.unlink() if self.home.is_symlink() else None
        shutil.rmtree(home, ignore_errors=True)

    @property
    def _is_initialised(self) -> bool:
        """Whether the setup of the data folder has finished, that is, a server has answered once."""
        return (self.home / "made").exists()

    def _finish_setup(self) -> None:
        if not self._is_initialised:
            write_atomically(self.home / "made", "")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _end(self, signum: int, targets: list[psutil.Process], timeout: float = 10.0) -> None:
        processes.send(targets, signum)
        processes.wait_gone(targets, timeout)
        self._reap()

    def _reap(self) -> None:
        if self._child:
            self._child.poll()

    _stop_signal: int

    @abstractmethod
    def _url(self) -> str: ...

    @abstractmethod
    def _find_main(self) -> psutil.Process | None: ...

    @abstractmethod
    def _find_all(self) -> list[psutil.Process]: ...

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _answers(self) -> bool: ...
