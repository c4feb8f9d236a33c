"""The refund log has one line for each refund that succeeded, whatever crashes."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections import Counter
from pathlib import Path

import pytest

from contracts.payments import PaymentStatus
from storage.payments import refunds
from tests.payments.conftest import Payments, replica, request, rest_of
from workers.payments import refund_log
from workers.payments.refund_log import RefundLogFailed, write_refund_log


class Crash(Exception):
    """The process dies here."""


async def refund_some(payments: Payments, count: int) -> list[str]:
    """Refund so many payments of 9000 each; returns the refunds' ids in the order in which they succeeded."""
    commands = [request() for _ in range(count)]
    for command in commands:
        await payments.answer(command)
        await payments.handle(rest_of(command))
        await payments.wait_for(command.payment_id, PaymentStatus.REFUNDED)
    rows = await payments.rows("select refund_id from payments.refunds order by modified_at desc limit " + str(count))
    return [str(row["refund_id"]) for row in reversed(rows)]


def log_of(payments: Payments) -> Path:
    path: Path = payments.runtime.settings.payments_refund_log
    return path


def lines_of(payments: Payments) -> list[str]:
    return [json.loads(line)["refund_id"] for line in log_of(payments).read_text().splitlines()]


async def crash_before_the_mark(payments: Payments, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the refund log, and crash between its lines and the rows that mark them as written."""

    async def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(refunds, "mark_logged", crash)
        with pytest.raises(Crash):
            await write_refund_log(payments.runtime)


async def test_each_refund_is_one_line(payments: Payments) -> None:
    ids = await refund_some(payments, 3)

    await write_refund_log(payments.runtime)
    await write_refund_log(payments.runtime)

    assert lines_of(payments) == ids
    line = json.loads(log_of(payments).read_text().splitlines()[0])
    assert (line["amount"], line["payer"], line["reason"]) == (9000, "kim", "cancelled")


async def test_a_crash_between_the_line_and_its_mark_writes_no_second_line(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await refund_some(payments, 2)

    await crash_before_the_mark(payments, monkeypatch)
    ids += await refund_some(payments, 1)
    await write_refund_log(payments.runtime)

    assert lines_of(payments) == ids
    assert await payments.rows("select 1 from payments.refunds where logged_at is null") == []


@pytest.mark.parametrize("left", [1, 40, -1, -2])
async def test_a_torn_line_is_repaired(payments: Payments, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    ids = await refund_some(payments, 2)

    await crash_before_the_mark(payments, monkeypatch)
    first, second = log_of(payments).read_bytes().splitlines(keepends=True)
    log_of(payments).write_bytes(first + second[:left])
    await write_refund_log(payments.runtime)

    assert lines_of(payments) == ids


async def test_many_replicas_write_each_line_once(payments: Payments) -> None:
    ids = await refund_some(payments, 12)

    async with replica(payments.runtime.settings) as second, replica(payments.runtime.settings) as third:
        writers = [write_refund_log(one.runtime) for one in (payments, second, third) for _ in range(4)]
        await asyncio.gather(*writers)

    assert Counter(lines_of(payments)) == Counter(ids)


async def test_without_the_lock_of_the_file_the_lines_wait(payments: Payments) -> None:
    ids = await refund_some(payments, 1)
    log_of(payments).parent.mkdir()
    with log_of(payments).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        await write_refund_log(payments.runtime)
        assert lines_of(payments) == []

    await write_refund_log(payments.runtime)

    assert lines_of(payments) == ids


async def test_a_file_that_cannot_be_written_is_not_taken_for_the_database(payments: Payments) -> None:
    ids = await refund_some(payments, 1)
    log_of(payments).parent.write_text("in the way")
    with pytest.raises(RefundLogFailed):
        await write_refund_log(payments.runtime)

    log_of(payments).parent.unlink()
    await write_refund_log(payments.runtime)

    assert lines_of(payments) == ids


async def test_a_long_tail_is_read_as_far_as_one_write_reaches(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refund_log, "CHUNK", 64)
    await refund_some(payments, 3)
    await write_refund_log(payments.runtime)
    await payments.execute("update payments.refunds set logged_at = null")

    await write_refund_log(payments.runtime)

    assert len(lines_of(payments)) == 3
