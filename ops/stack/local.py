"""The folder `.local`, which holds the servers, state, keys and logs of a system."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ops.stack.files import read_or_create_secret, write_atomically

REPOSITORY = Path(__file__).resolve().parents[2]
PROCESS_MARK = "SYSTEM_PROCESS_OF"
ACCOUNTS_DIR = "YEYAK_ACCOUNTS_DIR"
PROCESSES = "YEYAK_PROCESSES"
"""`shared`: the contexts run in one process; `each`: every one in its own."""
SERVER_ADDRESSES = ("YEYAK_AMQP_URL", "YEYAK_RABBITMQ_API", "YEYAK_DATABASE_URL", "YEYAK_PROVIDER_DATABASE_URL")


@dataclass(frozen=True)
class Local:
    """The folder of one system; `root` is its path."""

    root: Path

    @property
    def state_file(self) -> Path:
        return self.root / "system.json"

    @property
    def env_file(self) -> Path:
        return self.root / "system.env"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def accounts(self) -> Path:
        """A folder for each account, with its addresses and passwords."""
        return self.root / "accounts"

    @property
    def shared_contexts(self) -> Path:
        """Names the contexts that share a process, a line each."""
        return self.root / "shared_contexts"

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @property
    def jwt_key(self) -> str:
        """The key that signs the tokens of a local system."""
        return read_or_create_secret(self.root / "jwt.key", n_bytes=48)

    def read_state(self) -> dict[str, Any]:
        """The state that the last supervisor wrote; empty when there is none."""
        try:
            state = json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def write_state(self, state: Mapping[str, Any]) -> None:
        write_atomically(self.state_file, json.dumps(state, indent=1))

    def read_env(self) -> dict[str, str]:
        """The environment variables that a command needs to use this system."""
        try:
            lines = self.env_file.read_text().splitlines()
        except OSError:
            return {}
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def write_env(self, env: Mapping[str, str]) -> None:
        write_atomically(self.env_file, "".join(f"{name}={value}\n" for name, value in env.items()))

    @contextlib.contextmanager
    def only_supervisor(self) -> Iterator[None]:
        """Hold the supervisor's lock, which the kernel releases when the process ends; raises AlreadySupervised."""
        self.root.mkdir(parents=True, exist_ok=True)
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadySupervised from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def supervisor_pid(self) -> int | None:
        """The pid of the process that holds the supervisor's lock; None when the system is down."""
        if not self.root.exists():
            return None
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                return int(lock.read() or 0) or None
            return None

    def _lock_file(self) -> IO[str]:
        return (self.root / "supervisor.lock").open("a+")


def inherited() -> dict[str, str]:
    """This process's environment without the servers' addresses, which the supervisor sets for each process."""
    return {name: value for name, value in os.environ.items() if name not in SERVER_ADDRESSES}


class AlreadySupervised(Exception):
    """Another supervisor holds the lock of this system."""


def local() -> Local:
    """The folder that `YEYAK_LOCAL` names, by default `.local` in the checkout."""
    return Local(Path(os.environ.get("YEYAK_LOCAL") or REPOSITORY / ".local").absolute())
