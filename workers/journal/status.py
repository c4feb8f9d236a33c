"""Status of the system for operators: processes, bookings and requests per minute, the last audit."""

from __future__ import annotations

from contracts.bike_sharing.rides import RideStarted
from contracts.cafe import orders as cafe
from contracts.journal import Audit, RecordAudit, ShowTown, SystemOverview
from contracts.outcomes import NOT_REFUSALS
from contracts.preorder.reservations import ReservationConfirmed
from contracts.shop import orders as shop
from contracts.ticketing.reservations import TicketReserved
from contracts.video_rental.rentals import VideoBooked
from storage import journal_status as store
from storage.database import Session
from workers.journal.base import journal
from workers.runtime.processing.tx import Tx

BOOKINGS = (VideoBooked, TicketReserved, RideStarted, shop.OrderPlaced, cafe.OrderPlaced, ReservationConfirmed)
MAX_MINUTES = 24 * 60


@journal.handles(ShowTown)
async def show_town(query: ShowTown, session: Session) -> SystemOverview:
    minutes = max(1, min(query.minutes, MAX_MINUTES))
    return await store.system_overview(session, minutes, [event.topic for event in BOOKINGS], sorted(NOT_REFUSALS))


@journal.handles(RecordAudit)
async def record_audit(command: RecordAudit, tx: Tx) -> Audit:
    return await store.save_audit(tx, tx.id, command.report)
