"""The monthly partitions of the journal's tables `events` and `handled`."""

from __future__ import annotations

import zlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

from storage.database import Session, Statement

PARTITIONS_LOCK = zlib.crc32(b"yeyak.journal: months")
PARTITIONED = ("events", "handled")
MONTHS_AHEAD = 2


def add_months(month: date, count: int = 1) -> date:
    """The first day of the month that is `count` months later."""
    years, zero_based = divmod(month.month - 1 + count, 12)
    return date(month.year + years, zero_based + 1, 1)


async def create_partitions(session: Session, today: date) -> None:
    """Create the partitions of this month and the next two, within a transaction.

    Rows of a month that had no partition yet are moved into it from the default partition.
    """
    await session.connection.execute("select pg_advisory_xact_lock($1)", PARTITIONS_LOCK)
    for table in PARTITIONED:
        for ahead in range(MONTHS_AHEAD + 1):
            await _create_partition(session, table, add_months(today.replace(day=1), ahead))


async def _create_partition(session: Session, table: str, month: date) -> None:
    if await session.connection.fetchval("select to_regclass($1)", f"journal.{table}_{month:%Y_%m}"):
        return
    # The lock keeps writers out: a row that entered the default partition after the move would prevent attaching.
    source = """
        lock table journal.{table} in access exclusive mode;
        create table journal.{table}_{name} (like journal.{table} including all);
        with early as (delete from journal.{table}_other where at >= '{first}' and at < '{next}' returning *)
          insert into journal.{table}_{name} select * from early;
        alter table journal.{table} attach partition journal.{table}_{name} for values from ('{first}') to ('{next}')"""
    values: dict[str, Any] = {"table": table, "name": f"{month:%Y_%m}", "first": month, "next": add_months(month)}
    for name, value in values.items():
        source = source.replace("{" + name + "}", str(value))
    await session.connection.execute(source)


_PARTITIONS = Statement("""
    select inhrelid::regclass::text as name from pg_inherits
    where inhparent in ('journal.events'::regclass, 'journal.handled'::regclass)""")


async def drop_partitions(session: Session, keep: timedelta) -> list[str]:
    """Drop the monthly partitions that ended more than `keep` ago; returns their names."""
    oldest = (datetime.now(UTC) - keep).date()
    dropped = []
    for row in await session.all(_PARTITIONS):
        tail = row["name"][-7:]
        if tail.replace("_", "").isdigit() and add_months(date(int(tail[:4]), int(tail[5:]), 1)) <= oldest:
            await session.connection.execute(f"drop table {row['name']}")
            dropped.append(row["name"])
    return dropped
