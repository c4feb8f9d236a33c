"""The refund log: one JSON line for each refund that succeeded, exactly once.

A line is appended and on disk before its refund is marked in the database. What a crash leaves between the two is
found at the end of the file: nobody appends without having looked there, under the file's lock and the database's.
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

from storage import refunds as store
from storage.database import Row
from workers.payments.base import payments
from workers.runtime.processing.worker_runtime import WorkerRuntime

AT_ONCE = 200
CHUNK = 64 * 1024


class RefundLogFailed(Exception):
    """The file of the refund log could not be written; its refunds wait for the next time."""


@payments.every(0.5)
async def write_refund_log(context: WorkerRuntime) -> None:
    """Append what is through, unless another replica is at it."""
    async with context.database.session() as session:
        if not await store.any_unlogged(session):
            return
    with locked(context.settings.payments_refund_log) as file:
        while file is not None and await _write_some(context, file) == AT_ONCE:
            pass


async def _write_some(context: WorkerRuntime, file: BinaryIO) -> int:
    async with context.database.transaction() as session:
        if not await store.lock_log(session):
            return 0
        rows = await store.unlogged(session, AT_ONCE)
        await _undisturbed(file, rows)
        await store.mark_logged(session, [row["refund_id"] for row in rows])
    return len(rows)


async def _undisturbed(file: BinaryIO, rows: Sequence[Row]) -> None:
    """Write in a thread; a cancelled caller waits until the thread has done with the file."""
    writing = asyncio.create_task(asyncio.to_thread(append_missing, file, rows))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO | None]:
    """The file, as its only writer; None while there is another. An `OSError` is not the database's: it is renamed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        file = path.open("a+b")
        if is_new:
            _to_disk(path.parent)
    except OSError as error:
        raise RefundLogFailed(str(error)) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield file


def _to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append_missing(file: BinaryIO, rows: Sequence[Row]) -> None:
    """Append a line for each refund that has none yet among the last ones, and see them on disk."""
    try:
        mend(file)
        there = last_ids(file, AT_ONCE)
        file.write(b"".join(line_of(row) for row in rows if str(row["refund_id"]) not in there))
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise RefundLogFailed(str(error)) from error


def line_of(row: Row) -> bytes:
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


def mend(file: BinaryIO) -> None:
    """End the file with a whole line: a torn one belongs to a refund that is not marked, and is written again."""
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


def last_ids(file: BinaryIO, most: int) -> set[str]:
    """The refunds of the last `most` lines at least."""
    end = file.seek(0, os.SEEK_END)
    text = b""
    for block, _ in _backwards(file, end):
        text = block + text
        if text.count(b"\n") > most:
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
