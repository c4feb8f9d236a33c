"""One server under a root folder: found, started, watched and ended, whatever it serves."""

import contextlib
import fcntl
import hashlib
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from ops.stack import processes
from ops.stack.files import kept_secret, last_line, rotate, write_atomically
from ops.stack.ports import kept_ports, read_ports
from ops.stack.waiting import wait_until


class ServerFailed(Exception):
    """One sentence for a person: what did not work, and which log to read."""


class Server(ABC):
    """One server process tree under `root`; `die_with_parent` ties it to the thread that starts it (for tests)."""

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
        """Unique per root on this machine; it names the node or cluster and marks its processes."""
        return "yeyak-" + hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    @property
    def ports(self) -> dict[str, int]:
        return read_ports(self.home / "ports.json")

    @property
    def password(self) -> str:
        return kept_secret(self.home / "password")

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

    def start(self, timeout: float = 60.0) -> None:
        """Return when the server answers; does nothing if it does already. Raises ServerFailed."""
        self.launch()
        self.wait_ready(timeout)

    def launch(self) -> None:
        """Start the process without waiting for it."""
        with self._alone():
            if self.is_running():
                return
            self._end(signal.SIGKILL, self._all())
            self._prepare()
            rotate(self.log)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            ports = kept_ports(self.home / "ports.json", list(self.port_names), self._preferred)
            self._child = self._spawn(ports)
            self._known = self._recognisable(self._child)

    def _recognisable(self, child: subprocess.Popen[bytes]) -> psutil.Process | None:
        """Hold the lock until others, too, would recognise the new process as this server."""
        wait_until(lambda: child.poll() is not None or self._find_main() is not None, within=5.0, every=0.01)
        return self._find_main()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when it answers; one that ends before that is launched once more. Raises ServerFailed."""
        deadline = time.monotonic() + timeout
        outcome = self._outcome(deadline)
        if outcome == "gone":
            self.launch()
            outcome = self._outcome(deadline)
        if outcome == "gone":
            raise ServerFailed(f"{self.name} does not start ({last_line(self.log)}): read {self.log}")
        if outcome != "answers":
            raise ServerFailed(f"{self.name} does not answer after {timeout:.0f} s: read {self.log}")
        self._complete()

    def _outcome(self, deadline: float) -> str:
        """`answers`, `gone`, or nothing yet."""
        return wait_until(
            lambda: "answers" if self._answers() else "" if self.is_running() else "gone", deadline - time.monotonic()
        )

    def stop(self, timeout: float = 30.0) -> None:
        """Orderly, and by force after `timeout` seconds; nothing happens when it is down."""
        with self._alone():
            if self.pid:
                self._end(self._stop_signal, [psutil.Process(self.pid)], timeout)
            self._end(signal.SIGKILL, self._all())
            self._reap()

    def kill(self) -> None:
        """SIGKILL for every process of this server, as a power cut would."""
        self._end(signal.SIGKILL, self._all())
        self._reap()

    def destroy(self) -> None:
        """Stop it and delete its data, ports and password; the log stays."""
        self.kill()
        home = self.home.resolve()
        self.home.unlink() if self.home.is_symlink() else None
        shutil.rmtree(home, ignore_errors=True)

    @property
    def _is_made(self) -> bool:
        """False while the data folder has never once held a server that answered."""
        return (self.home / "made").exists()

    def _complete(self) -> None:
        if not self._is_made:
            write_atomically(self.home / "made", "")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
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
    def _all(self) -> list[psutil.Process]: ...

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _spawn(self, ports: dict[str, int]) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _answers(self) -> bool: ...
