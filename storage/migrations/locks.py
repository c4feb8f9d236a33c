"""How a migration gets its locks on PostgreSQL while the system runs.

`alter table` waits for every transaction that has read the table, and every later statement on the table waits behind
it. So a try gives up after a short wait, is rolled back as a whole and is repeated after a pause. A transaction that
held a lock in the schema before the pause and still does would make the next try wait, too: none is made until it ends.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from storage.database import is_transient


@dataclass(frozen=True)
class LockPolicy:
    """How long a migration waits, in seconds; waits and pauses double from the first to the longest."""

    first_wait: float = 0.2
    """Below PostgreSQL's deadlock_timeout (1 s), so that in a deadlock the migration gives way and not a worker."""
    longest_wait: float = 3.0
    """Of lock_timeout; below the workers' own, which is 5 s."""
    first_pause: float = 0.5
    longest_pause: float = 5.0
    patience: float = 600.0
    """No try begins later than this after the first that got no lock."""


class LocksNotGranted(Exception):
    """One sentence for an operator: who holds the locks. The schema is as it was before."""


@dataclass(frozen=True)
class Holder:
    """A transaction that holds locks on tables of a schema."""

    transaction: str
    """PostgreSQL's virtual transaction id."""
    seconds: float | None
    """Since the transaction began; None when this role may not see it."""
    description: str


_HOLDERS = """
    select l.virtualtransaction as transaction, l.pid, a.application_name as application, a.usename as role, a.state,
      extract(epoch from clock_timestamp() - a.xact_start)::float as seconds,
      string_agg(distinct n.nspname || '.' || c.relname, ', ') as tables
    from pg_locks l
    join pg_class c on c.oid = l.relation and c.relkind in ('r', 'p')
    join pg_namespace n on n.oid = c.relnamespace and n.nspname = $1
    left join pg_stat_activity a on a.pid = l.pid
    where l.granted and l.database = (select oid from pg_database where datname = current_database())
      and a.backend_type is distinct from 'autovacuum worker'
    group by 1, 2, 3, 4, 5, 6 order by seconds desc nulls last, l.pid"""
"""Autovacuum is left out because it ends when somebody waits for its lock."""


async def migrate_when_granted(
    apply: Callable[[float], None], schema: str, url: str, policy: LockPolicy, report: Callable[[str], None]
) -> None:
    """Call `apply` in a thread with a lock_timeout in seconds until it gets its locks, and report each failed try.

    Raises LocksNotGranted when the patience is at an end, and what `apply` raises for any other reason.
    """
    refused_since = 0.0
    wait, pause = policy.first_wait, policy.first_pause
    blocking: list[Holder] = []
    for number in itertools.count(1):
        if blocking:
            blocking = _still_there(blocking, await holders(url, schema))
        if not blocking:
            try:
                await asyncio.to_thread(apply, wait)
            except Exception as error:
                if not is_transient(error):
                    raise
            else:
                if refused_since:
                    report(f"{schema}: migrated after {time.monotonic() - refused_since:.1f} s")
                return
            now = await holders(url, schema)
            blocking = [holder for holder in now if holder.seconds is None or holder.seconds >= wait]
            wait = min(policy.longest_wait, wait * 2)
        refused_since = refused_since or time.monotonic()
        problem = _sentence(schema, blocking)
        if time.monotonic() - refused_since + pause > policy.patience:
            raise LocksNotGranted(
                f"{problem}; it gave up after {policy.patience:g} s, and the schema is as it was:"
                " run `yeyak migrate` again when that transaction has ended"
            )
        report(f"{problem}; it tries again in {pause:g} s (try {number})")
        await asyncio.sleep(pause)
        pause = min(policy.longest_pause, pause * 2)


async def holders(url: str, schema: str) -> list[Holder]:
    """The transactions that hold locks on a schema's tables now, the oldest first."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        rows = await connection.fetch(_HOLDERS, schema)
    finally:
        await connection.close()
    return [Holder(row["transaction"], row["seconds"], _describe(row)) for row in rows]


def _still_there(before: list[Holder], now: list[Holder]) -> list[Holder]:
    known = {holder.transaction for holder in before}
    return [holder for holder in now if holder.transaction in known]


def _describe(row: asyncpg.Record) -> str:
    if row["pid"] is None:
        return f"a prepared transaction holds locks on {row['tables']}"
    session = [row["application"], row["role"] and f"role {row['role']}", row["state"]]
    if row["seconds"] is not None:
        session.append(f"transaction open for {row['seconds']:.0f} s")
    known = ", ".join(part for part in session if part)
    return f"process {row['pid']}{f' ({known})' if known else ''} holds locks on {row['tables']}"


def _sentence(schema: str, blocking: list[Holder]) -> str:
    if not blocking:
        return f"{schema}: the migration got no lock in time"
    more = f" and {len(blocking) - 1} more" if len(blocking) > 1 else ""
    return f"{schema}: the migration waits because {blocking[0].description}{more}"
