"""The journal's status tables: process reports and audits; counts per minute are computed from events and messages."""

from __future__ import annotations

from uuid import UUID

from contracts.journal import Audit, AuditReport, Minute, ProcessStatus, SystemOverview
from storage.database import Session, Statement

LIVE = "interval '35 seconds'"
"""Processes report every ten seconds; a process that missed three reports is left out."""

_SAVE_PROCESS_STATUS = Statement("""
    with deleted as (delete from journal.standings where at < now() - interval '1 day')
    insert into journal.standings (context, replica, at, told) values (:context, :replica, now(), :told)
    on conflict (context, replica) do update set at = excluded.at, told = excluded.told""")


async def save_process_status(session: Session, status: ProcessStatus) -> None:
    """Store the newest report of one process, and delete reports that are older than a day."""
    body = status.model_dump_json()
    await session.value(_SAVE_PROCESS_STATUS, context=status.context, replica=status.replica, told=body)


_SAVE_AUDIT = Statement("""
    with deleted as (delete from journal.audits where at < now() - interval '30 days')
    insert into journal.audits (id, at, told) values (:id, now(), :told) returning at""")


async def save_audit(session: Session, id: UUID, report: AuditReport) -> Audit:
    """Store an audit report and return it with its time; delete audits that are older than 30 days."""
    at = await session.value(_SAVE_AUDIT, id=id, told=report.model_dump_json())
    return Audit(at=at, **dict(report))


_LAST_AUDIT = Statement("select at, told from journal.audits order by at desc limit 1")


async def last_audit(session: Session) -> Audit | None:
    """The newest audit; None before the first."""
    row = await session.one(_LAST_AUDIT)
    return Audit(at=row["at"], **dict(AuditReport.model_validate_json(row["told"]))) if row else None


_PROCESS_STATUSES = Statement(f"""
    select told from journal.standings where at > now() - {LIVE} order by context, replica""")  # noqa: S608

_MINUTES = Statement("""
    with booked as (
      select date_trunc('minute', at) as minute, count(*) as bookings from journal.events
      where at > now() - make_interval(mins => cast(:minutes as integer)) and topic = any(cast(:topics as text[]))
      group by 1),
    handled as (
      select date_trunc('minute', at) as minute,
        count(*) filter (where kind = 'command' and not outcome = any(cast(:not_refusals as text[]))) as refusals,
        count(*) filter (where kind = 'ask') as asks,
        percentile_cont(0.5) within group (order by took_ms) filter (where kind = 'ask') as ask_ms,
        percentile_cont(0.95) within group (order by took_ms) filter (where kind = 'ask') as ask_ms_p95
      from journal.handled
      where at > now() - make_interval(mins => cast(:minutes as integer)) and kind in ('command', 'ask')
      group by 1)
    select minute as at, coalesce(bookings, 0) as bookings, coalesce(refusals, 0) as refusals,
      coalesce(asks, 0) as asks, ask_ms, ask_ms_p95
    from booked full join handled using (minute) order by minute""")

_TOTALS = Statement("""
    select (select count(*) from journal.dead_letters where status = 'DEAD') as open_letters,
      (select coalesce(max(last_offset), -1) from journal.reader) as read_to, now() as as_of""")


async def system_overview(session: Session, minutes: int, topics: list[str], not_refusals: list[str]) -> SystemOverview:
    """Status of all live processes, the last `minutes` minutes, the last audit and totals.

    `topics` are the events that count as bookings; a command's outcome that is not in `not_refusals` is a refusal.
    """
    processes = [ProcessStatus.model_validate_json(row["told"]) for row in await session.all(_PROCESS_STATUSES)]
    rows = await session.all(_MINUTES, minutes=minutes, topics=topics, not_refusals=not_refusals)
    totals = await session.one(_TOTALS)
    assert totals is not None
    return SystemOverview(
        standings=processes,
        minutes=[Minute.model_validate(dict(row)) for row in rows],
        audit=await last_audit(session),
        **totals,
    )
