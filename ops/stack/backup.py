"""Backups of a local system: one file with both databases and the refund log; no password is in it.

RabbitMQ is not in it: what it loses is published again from the outboxes or settled as unknown (docs/operate.md).
"""

import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack.local import Local
from ops.stack.servers import PostgresServer, RabbitServer

REFUND_LOG = "refunds.jsonl"


class BackupFailed(Exception):
    """A backup could not be written or read; the text is one sentence."""


def write(here: Local, file: Path) -> int:
    """Write a backup, readable by its owner only; returns its size in bytes. Raises BackupFailed, ServerFailed."""
    if file.exists():
        raise BackupFailed(f"{file} exists already: name another file")
    if not (here.root / PostgresServer.name).exists():
        raise BackupFailed(f"{here.root} has no database yet: `yeyak up` makes one")
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with _answering(here) as postgres, tarfile.open(draft, "w") as archive, _scratch(here) as folder:
            draft.chmod(0o600)
            for database in postgres.databases:
                with (folder / _dump(database)).open("wb") as dump:
                    postgres.dump(database, dump)
                archive.add(folder / _dump(database), _dump(database))
            if (here.root / REFUND_LOG).exists():  # after the dump: it has every refund that is marked there
                archive.add(here.root / REFUND_LOG, REFUND_LOG)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return file.stat().st_size


def check(file: Path) -> None:
    """Raise BackupFailed unless the file is a backup."""
    try:
        with tarfile.open(file) as archive:
            missing = {_dump(database) for database in PostgresServer.databases} - set(archive.getnames())
    except (OSError, tarfile.TarError) as error:
        raise BackupFailed(f"{file} is no backup: {error}") from None
    if missing:
        raise BackupFailed(f"{file} is no backup: {', '.join(sorted(missing))} is missing")


def restore(here: Local, file: Path) -> None:
    """Replace the data of a system that is down; its next start migrates it. Raises BackupFailed, ServerFailed."""
    check(file)
    rabbit, postgres = RabbitServer(here.root), PostgresServer(here.root)
    rabbit.forget()
    postgres.forget()
    with tarfile.open(file) as archive, _scratch(here) as folder, _answering(here) as postgres:
        archive.extractall(folder, filter="data")
        for database in postgres.databases:
            with (folder / _dump(database)).open("rb") as dump:
                postgres.restore(database, dump)
        (here.root / REFUND_LOG).unlink(missing_ok=True)
        if (folder / REFUND_LOG).exists():
            (folder / REFUND_LOG).replace(here.root / REFUND_LOG)


def _dump(database: str) -> str:
    return f"{database}.dump"


@contextmanager
def _answering(here: Local) -> Iterator[PostgresServer]:
    """The system's PostgreSQL; stopped again afterwards, unless it ran before."""
    postgres = PostgresServer(here.root)
    ran = postgres.is_running()
    postgres.start()
    try:
        yield postgres
    finally:
        if not ran:
            postgres.stop()


@contextmanager
def _scratch(here: Local) -> Iterator[Path]:
    """A folder on the disk of the system, which has room for its data."""
    with tempfile.TemporaryDirectory(dir=here.root) as folder:
        yield Path(folder)
