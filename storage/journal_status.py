"""How the system stands: what the contexts told of themselves, and the last hour by the minute."""

from __future__ import annotations

from uuid import UUID

from contracts.journal import Audit, AuditReport, Minute, ProcessStatus, SystemNow
from storage.database import Session, Statement

LATELY = "interval '35 seconds'"
"""Processes report every ten seconds; one that missed three is not there."""

_STAND = Statement("""
    with gone as (delete from journal.standings where at < now() - interval '1 day')
    insert into journal.standings (context, replica, at, told) values (:context, :replica, now(), :told)
    on conflict (context, replica) do update set at = excluded.at, told = excluded.told""")


async def stand(session: Session, standing: ProcessStatus) -> None:
    """Keep how one process stands now."""
    told = standing.model_dump_json()
    await session.value(_STAND, context=standing.context, replica=standing.replica, told=told)


_KEEP_AUDIT = Statement("""
    with gone as (delete from journal.audits where at < now() - interval '30 days')
    insert into journal.audits (id, at, told) values (:id, now(), :told) returning at""")


async def keep_audit(session: Session, id: UUID, report: AuditReport) -> Audit:
    """Keep what an audit found."""
    at = await session.value(_KEEP_AUDIT, id=id, told=report.model_dump_json())
    return Audit(at=at, **dict(report))


_LAST_AUDIT = Statement("select at, told from journal.audits order by at desc limit 1")


async def last_audit(session: Session) -> Audit | None:
    """What the newest audit found; None before the first."""
    row = await session.one(_LAST_AUDIT)
    return Audit(at=row["at"], **dict(AuditReport.model_validate_json(row["told"]))) if row else None


_STANDINGS = Statement(f"""
    select told from journal.standings where at > now() - {LATELY} order by context, replica""")  # noqa: S608

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

_REST = Statement("""
    select (select count(*) from journal.dead_letters where status = 'DEAD') as open_letters,
      (select coalesce(max(last_offset), -1) from journal.reader) as read_to, now() as as_of""")


async def system(session: Session, minutes: int, topics: list[str], not_refusals: list[str]) -> SystemNow:
    """All of it; `topics` are the events that count as bookings."""
    stands = [ProcessStatus.model_validate_json(row["told"]) for row in await session.all(_STANDINGS)]
    rows = await session.all(_MINUTES, minutes=minutes, topics=topics, not_refusals=not_refusals)
    rest = await session.one(_REST)
    assert rest is not None
    return SystemNow(
        standings=stands,
        minutes=[Minute.model_validate(dict(row)) for row in rows],
        audit=await last_audit(session),
        **rest,
    )
