"""Ticketing: reservations of tickets.

ReserveTicket -> ReservationStarted -> TakeTicket -> TicketReserved, ConfirmHold
                                                  -> ReservationRejected               (expired, or not available)
                                                  -> ReservationRejected, FreeTicket   (no reply in time)
CancelReservation -> ReservationCancelling, FreeTicket, RestorePrice
HoldReleased and PriceRestored -> ReservationCancelled
SettleHold -> ConfirmHold   (the reservation is valid)
           -> FreeTicket    (it has ended; for an unknown reservation a tombstone is written first)
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from contracts.base import Caller, Page, Refused
from contracts.refusals import NotFound, PriceChanged, WrongState
from contracts.ticketing.pricing import PolicyEnded, PolicyKind, Price, PriceAssigned, PriceRestored, RestorePrice
from contracts.ticketing.refusals import (
    ExpiredTicket,
    NotPricedYet,
    ReservationTicketExpired,
    ReservationTicketNotAvailable,
    TicketNotAvailable,
    TicketUnavailable,
)
from contracts.ticketing.reservations import (
    CancelReservation,
    ListReservations,
    Reservation,
    ReservationCancelled,
    ReservationCancelling,
    ReservationRejected,
    ReservationStarted,
    ReservationStatus,
    ReserveTicket,
    SettleHold,
    ShowReservation,
    TicketReserved,
)
from contracts.ticketing.tickets import (
    ConfirmHold,
    FreeTicket,
    HoldReleased,
    TakeTicket,
    TicketRegistered,
    TicketState,
)
from storage.database import Session
from storage.ticketing import reservations as store
from workers.runtime.processing.handlers import replay_of
from workers.runtime.processing.tx import NoReply, Request, Retryable, RetryableNotFound, RunAgain, Tx
from workers.runtime.worker import Worker
from workers.ticketing.settings import TicketingSettings

worker = reservations = Worker("ticketing.reservations", sends=(ConfirmHold, FreeTicket, RestorePrice))

PENDING_SECONDS = 1.0
"""Delay after which `SettleHold` is repeated for a reservation that is PENDING."""
REJECTIONS = {
    refusal.code: refusal for refusal in (ReservationTicketExpired, ReservationTicketNotAvailable, TicketUnavailable)
}
"""The answer to `ReserveTicket`, by the reason of a reservation that is REJECTED."""


# -- events of tickets and pricing


@reservations.handles(TicketRegistered)
async def note_ticket(event: TicketRegistered, tx: Tx) -> None:
    await store.note_ticket(tx, event.ticket_id)


@reservations.handles(PolicyEnded)
async def note_ended(event: PolicyEnded, tx: Tx) -> None:
    await store.note_ended(tx, event.policy_id)


@reservations.handles(PriceAssigned)
async def note_price(event: PriceAssigned, tx: Tx) -> None:
    await store.project_price(tx, event)


# -- reserving


@reservations.handles(
    ReserveTicket, requests=TakeTicket, replays=replay_of(store.find, lambda one: _current_answer(one))
)
async def reserve_ticket(command: ReserveTicket, tx: Tx) -> Request:
    result = await store.begin(tx, tx.id, command)
    price = result.price
    if result.ended and price is not None:
        price = price_without(price, result.ended)
        result = await store.begin(tx, tx.id, command, price) if price else result
    if result.reservation is None:
        raise _begin_refusal(result, price, command.expected_price)
    tx.publish(ReservationStarted.of(result.reservation))
    take = TakeTicket(ticket_id=command.ticket_id, reservation_id=tx.id)
    return tx.request(take, within=tx.settings(TicketingSettings).ticketing_take_ms / 1000)


def price_without(price: Price, ended: Collection[UUID]) -> Price | None:
    """The price without the discounts of policies that have ended; None if a line does not tell its policy's value."""
    left, lines = price.base, []
    for line in price.lines:
        if line.policy_id in ended:
            continue
        if line.value is None:
            return None
        amount = left * line.value // 100 if line.kind is PolicyKind.PERCENT else min(line.value, left)
        lines.append(line.model_copy(update={"amount": amount}))
        left -= amount
    return price.model_copy(update={"lines": lines, "total": left})


def _begin_refusal(result: store.BeginResult, price: Price | None, expected_price: int | None) -> Refused:
    if price is None:
        return Retryable(NotPricedYet()) if result.known else RetryableNotFound()
    if expected_price not in (None, price.total):
        return Retryable(PriceChanged(price=price.total))
    return ReservationTicketNotAvailable()  # a tombstone: `SettleHold` arrived before the reservation was started


@reserve_ticket.then
async def settle_reservation(
    command: ReserveTicket, outcome: TicketState | Refused | NoReply, tx: Tx
) -> Reservation | Refused:
    match outcome:
        case TicketState():
            to, reason = ReservationStatus.RESERVED, None
        case ExpiredTicket():
            to, reason = ReservationStatus.REJECTED, ExpiredTicket.code
        case Refused():
            to, reason = ReservationStatus.REJECTED, TicketNotAvailable.code
        case _:
            to, reason = ReservationStatus.REJECTED, TicketUnavailable.code
    reservation = await store.settle(tx, tx.id, to, reason)
    if reservation is None:
        return _current_answer(await store.find(tx, tx.id))
    held = {"ticket_id": reservation.ticket_id, "reservation_id": reservation.reservation_id}
    if to is ReservationStatus.RESERVED:
        tx.publish(TicketReserved.of(reservation))
        tx.publish(ConfirmHold(**held))
    else:
        tx.publish(ReservationRejected.of(reservation))
        if reason == TicketUnavailable.code:
            tx.publish(FreeTicket(**held))
    return _current_answer(reservation)


def _current_answer(reservation: Reservation | None) -> Reservation | Refused:
    """The answer to the command, from the current row."""
    if reservation is None:
        return NotFound()
    if reservation.status is ReservationStatus.REJECTED:
        refusal = REJECTIONS.get(reservation.reason or "", ReservationTicketNotAvailable)
        return refusal(reservation_id=str(reservation.reservation_id), current_status=reservation.status)
    return reservation


@reservations.handles(SettleHold)
async def settle_hold(command: SettleHold, tx: Tx) -> RunAgain | None:
    held = {"ticket_id": command.ticket_id, "reservation_id": command.reservation_id}
    match await store.status_or_tombstone(tx, command.reservation_id):
        case ReservationStatus.PENDING:
            return RunAgain(timedelta(seconds=PENDING_SECONDS))
        case ReservationStatus.RESERVED:
            tx.publish(ConfirmHold(**held))
        case _:
            tx.publish(FreeTicket(**held))
    return None


# -- cancelling


@reservations.handles(CancelReservation)
async def cancel_reservation(command: CancelReservation, tx: Tx) -> Reservation:
    reservation = await _locked(tx, command.reservation_id, command.caller)
    if reservation.status in (ReservationStatus.CANCELLING, ReservationStatus.CANCELLED):
        return reservation
    by = "cancelled_by_staff" if command.caller.is_staff else "cancelled_by_member"
    cancelling = await store.cancel(tx, reservation.reservation_id, command.reason or by)
    if cancelling is None:
        raise WrongState(current_status=reservation.status, allowed_actions=[])
    held = {"ticket_id": cancelling.ticket_id, "reservation_id": cancelling.reservation_id}
    tx.publish(ReservationCancelling.of(cancelling))
    tx.publish(FreeTicket(**held))
    tx.publish(RestorePrice(**held))
    return cancelling


async def _locked(tx: Tx, reservation_id: UUID, caller: Caller) -> Reservation:
    reservation = await store.lock(tx, reservation_id)
    if reservation is None or not caller.may_see(reservation.member_id):
        raise NotFound
    return reservation


@reservations.handles(HoldReleased)
async def note_release(event: HoldReleased, tx: Tx) -> None:
    _publish_cancelled(tx, await store.record_compensation(tx, event.reservation_id, ticket_freed=True))


@reservations.handles(PriceRestored)
async def note_restored(event: PriceRestored, tx: Tx) -> None:
    _publish_cancelled(tx, await store.record_compensation(tx, event.reservation_id, price_restored=True))


def _publish_cancelled(tx: Tx, cancelled: Reservation | None) -> None:
    if cancelled is not None:
        tx.publish(ReservationCancelled.of(cancelled))


# -- queries


@reservations.handles(ShowReservation)
async def show_reservation(query: ShowReservation, session: Session) -> Reservation:
    reservation = await store.find(session, query.reservation_id)
    if reservation is None or not query.caller.may_see(reservation.member_id):
        raise NotFound
    return reservation


@reservations.handles(ListReservations)
async def list_reservations(query: ListReservations, session: Session) -> Page[Reservation]:
    return await store.newest(session, query)
