"""Status of the system for operators: processes, bookings and requests per minute, the last audit."""

from __future__ import annotations

from contracts.journal import Audit, RecordAudit, ShowTown, SystemOverview
from contracts.outcomes import NOT_REFUSALS
from storage import journal_status as store
from storage.database import Session
from workers.journal.base import journal
from workers.registry import BOOKINGS
from workers.runtime.processing.tx import Tx

MAX_MINUTES = 24 * 60
BOOKED = [topic for topic, outcome in BOOKINGS.items() if outcome == "booked"]


@journal.handles(ShowTown)
async def show_town(query: ShowTown, session: Session) -> SystemOverview:
    minutes = max(1, min(query.minutes, MAX_MINUTES))
    return await store.system_overview(session, minutes, BOOKED, sorted(NOT_REFUSALS))


@journal.handles(RecordAudit)
async def record_audit(command: RecordAudit, tx: Tx) -> Audit:
    return await store.save_audit(tx, tx.id, command.report)
