"""How the system stands, for operators: what contexts and audits told, and the last hour by the minute."""

from __future__ import annotations

from contracts.bike_sharing.rides import RideStarted
from contracts.cafe import orders as cafe
from contracts.journal import Audit, RecordAudit, ShowTown, SystemNow
from contracts.outcomes import NOT_REFUSALS
from contracts.preorder.reservations import ReservationConfirmed
from contracts.shop import orders as shop
from contracts.ticketing.reservations import TicketReserved
from contracts.video_rental.rentals import VideoBooked
from storage import journal_status as store
from storage.database import Session
from workers.journal.declared import journal
from workers.runtime.processing.tx import Tx

BOOKINGS = (VideoBooked, TicketReserved, RideStarted, shop.OrderPlaced, cafe.OrderPlaced, ReservationConfirmed)
MOST_MINUTES = 24 * 60


@journal.handles(ShowTown)
async def show_town(query: ShowTown, session: Session) -> SystemNow:
    minutes = max(1, min(query.minutes, MOST_MINUTES))
    return await store.system(session, minutes, [event.topic for event in BOOKINGS], sorted(NOT_REFUSALS))


@journal.handles(RecordAudit)
async def record_audit(command: RecordAudit, tx: Tx) -> Audit:
    return await store.keep_audit(tx, tx.id, command.report)
