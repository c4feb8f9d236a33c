"""Each refund that succeeded is one line, whatever crashes between the line and its mark."""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections import Counter
from pathlib import Path

import pytest

from contracts.payments import PaymentStatus
from storage import refunds
from tests.payments.conftest import Site, replica, request, rest_of
from workers.payments import refund_log
from workers.payments.refund_log import RefundLogFailed, write_refund_log


class Crash(Exception):
    """The process dies here."""


async def refund_some(desk: Site, count: int) -> list[str]:
    """Refund so many payments of 9000 each; their refunds' ids in the order in which they were through."""
    wishes = [request() for _ in range(count)]
    for wish in wishes:
        await desk.asked(wish)
        await desk.tell(rest_of(wish))
        await desk.until(wish.payment_id, PaymentStatus.REFUNDED)
    rows = await desk.rows("select refund_id from payments.refunds order by modified_at desc limit " + str(count))
    return [str(row["refund_id"]) for row in reversed(rows)]


def log_of(desk: Site) -> Path:
    path: Path = desk.context.settings.payments_refund_log
    return path


def lines_of(desk: Site) -> list[str]:
    return [json.loads(line)["refund_id"] for line in log_of(desk).read_text().splitlines()]


async def test_each_refund_is_one_line(desk: Site) -> None:
    ids = await refund_some(desk, 3)

    await write_refund_log(desk.context)
    await write_refund_log(desk.context)

    assert lines_of(desk) == ids
    line = json.loads(log_of(desk).read_text().splitlines()[0])
    assert (line["amount"], line["payer"], line["reason"]) == (9000, "kim", "cancelled")


async def test_a_crash_between_the_line_and_its_mark_writes_no_second_line(
    desk: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await refund_some(desk, 2)

    async def dies(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as crash:
        crash.setattr(refunds, "mark_logged", dies)
        with pytest.raises(Crash):
            await write_refund_log(desk.context)
    ids += await refund_some(desk, 1)
    await write_refund_log(desk.context)

    assert lines_of(desk) == ids
    assert await desk.rows("select 1 from payments.refunds where logged_at is null") == []


@pytest.mark.parametrize("left", [1, 40, -1, -2])
async def test_a_torn_line_is_mended(desk: Site, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    ids = await refund_some(desk, 2)
    original = refund_log.log_line

    async def dies(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as crash:
        crash.setattr(refunds, "mark_logged", dies)
        with pytest.raises(Crash):
            await write_refund_log(desk.context)
    first, second = log_of(desk).read_bytes().splitlines(keepends=True)
    log_of(desk).write_bytes(first + second[:left])
    await write_refund_log(desk.context)

    assert refund_log.log_line is original
    assert lines_of(desk) == ids


async def test_many_replicas_write_each_line_once(desk: Site) -> None:
    ids = await refund_some(desk, 12)

    async with replica(desk.context.settings) as second, replica(desk.context.settings) as third:
        writers = [write_refund_log(one.context) for one in (desk, second, third) for _ in range(4)]
        await asyncio.gather(*writers)

    assert Counter(lines_of(desk)) == Counter(ids)


async def test_without_the_lock_of_the_file_the_lines_wait(desk: Site) -> None:
    ids = await refund_some(desk, 1)
    log_of(desk).parent.mkdir()
    with log_of(desk).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        await write_refund_log(desk.context)
        assert lines_of(desk) == []

    await write_refund_log(desk.context)

    assert lines_of(desk) == ids


async def test_a_file_that_cannot_be_written_is_not_taken_for_the_database(desk: Site) -> None:
    ids = await refund_some(desk, 1)
    log_of(desk).parent.write_text("in the way")
    with pytest.raises(RefundLogFailed):
        await write_refund_log(desk.context)

    log_of(desk).parent.unlink()
    await write_refund_log(desk.context)

    assert lines_of(desk) == ids


async def test_a_long_tail_is_read_as_far_as_one_write_reaches(desk: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refund_log, "CHUNK", 64)
    await refund_some(desk, 3)
    await write_refund_log(desk.context)
    await desk.execute("update payments.refunds set logged_at = null")

    await write_refund_log(desk.context)

    assert len(lines_of(desk)) == 3
