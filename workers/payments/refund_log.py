"""The refund log: a file with one JSON line for each completed refund, written exactly once.

A line is appended and flushed to disk before its refund is marked as logged in the database. A crash between the two
leaves a line whose refund is not marked. Each write therefore first reads the end of the file, and appends only the
lines that are missing; the file's lock and an advisory lock of the database admit one writer at a time.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage.database import Row
from storage.payments import refunds as store
from workers.payments.base import payments
from workers.runtime.processing.worker_runtime import WorkerRuntime

BATCH_SIZE = 200
CHUNK = 64 * 1024


class RefundLogFailed(Exception):
    """The file of the refund log could not be written; its refunds are written in a later run."""


@payments.every(0.5)
async def write_refund_log(context: WorkerRuntime) -> None:
    """Append a line for each completed refund that has none, unless another replica is writing."""
    async with context.database.session() as session:
        if not await store.any_unlogged(session):
            return
    with locked(context.settings.payments_refund_log) as file:
        while file is not None and await _write_batch(context, file) == BATCH_SIZE:
            pass


async def _write_batch(context: WorkerRuntime, file: BinaryIO) -> int:
    async with context.database.transaction() as session:
        if not await store.lock_log(session):
            return 0
        rows = await store.unlogged(session, BATCH_SIZE)
        await _append_in_thread(file, rows)
        await store.mark_logged(session, [row["refund_id"] for row in rows])
    return len(rows)


async def _append_in_thread(file: BinaryIO, rows: Sequence[Row]) -> None:
    """Write in a thread; a cancelled caller waits until the thread has finished with the file."""
    writing = asyncio.create_task(asyncio.to_thread(append_missing, file, rows))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO | None]:
    """Open the file with an exclusive lock; yields None when another process holds it.

    Raises RefundLogFailed for an OSError, which the caller would otherwise take for a failure of the database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        file = path.open("a+b")
        if is_new:
            _fsync_directory(path.parent)
    except OSError as error:
        raise RefundLogFailed(str(error)) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield file


def _fsync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_missing(file: BinaryIO, rows: Sequence[Row]) -> None:
    """Append a line for each refund that has none among the file's last lines, and flush them to disk."""
    try:
        repair_tail(file)
        present = last_ids(file, BATCH_SIZE)
        file.write(b"".join(log_line(row) for row in rows if str(row["refund_id"]) not in present))
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise RefundLogFailed(str(error)) from error


def log_line(row: Row) -> bytes:
    line = {
        "refund_id": str(row["refund_id"]),
        "payment_id": str(row["payment_id"]),
        "payer": row["payer"],
        "amount": row["amount"],
        "reason": row["reason"],
        "requested_by": row["requested_by"],
        "requested_at": row["created_at"].isoformat(),
        "refunded_at": row["refunded_at"].isoformat(),
    }
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def repair_tail(file: BinaryIO) -> None:
    """Make the file end with a complete line.

    A truncated last line is removed: its refund is not marked as logged, and is written again.
    """
    end = file.seek(0, os.SEEK_END)
    torn = b""
    for block, begin in _backwards(file, end):
        _, newline, tail = block.rpartition(b"\n")
        torn = tail + torn if newline else block + torn
        if newline or begin == 0:
            break
    if not torn:
        return
    if _id_in(torn):
        file.write(b"\n")
    else:
        file.truncate(end - len(torn))
    file.flush()


def last_ids(file: BinaryIO, lines: int) -> set[str]:
    """Ids of the refunds in the last `lines` lines, and possibly in earlier ones."""
    end = file.seek(0, os.SEEK_END)
    text = b""
    for block, _ in _backwards(file, end):
        text = block + text
        if text.count(b"\n") > lines:
            break
    return {id for line in text.splitlines() if (id := _id_in(line))}


def _backwards(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int]]:
    while end > 0:
        begin = max(0, end - CHUNK)
        file.seek(begin)
        yield file.read(end - begin), begin
        end = begin


def _id_in(line: bytes) -> str | None:
    try:
        return str(json.loads(line)["refund_id"])
    except (ValueError, KeyError, TypeError):
        return None
