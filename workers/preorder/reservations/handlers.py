"""Phone pre-order: reservations, paid for when they are made. A cancellation undoes payment and receipt.

ReservePhone -> ReservationStarted -> RequestPayment -> ReservationConfirmed
                                                     -> ReservationRejected                 (declined)
                                                     -> ReservationCancelled, VoidPayment   (no reply in time)
CancelReservation -> ReservationCancelling, RefundRest, VoidReceipt     (paid)
                  -> ReservationCancelling, VoidPayment                 (the payment is pending)
RefundSucceeded and ReceiptVoided, or PaymentVoided -> ReservationCancelled
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import asyncpg

from contracts.base import Page, Refused
from contracts.payments import PaymentState, RefundRest, RequestPayment, VoidPayment
from contracts.preorder.products import ProductChanged, ProductRegistered, ProductStatus
from contracts.preorder.receipts import ReceiptIssued, ReceiptVoided, VoidReceipt
from contracts.preorder.refusals import (
    AlreadyReserved,
    CancelledMeanwhile,
    Closed,
    QuotaFull,
    ReservationDeclined,
    ReservationPaymentUnavailable,
)
from contracts.preorder.reservations import (
    CancelReservation,
    CountFree,
    FreeCounts,
    ListReservations,
    Reservation,
    ReservationCancelled,
    ReservationCancelling,
    ReservationConfirmed,
    ReservationRejected,
    ReservationStarted,
    ReservationStatus,
    ReservationWithAddress,
    ReservePhone,
    ShowReservation,
)
from contracts.refusals import NotFound, PriceChanged, WrongState
from storage.database import Session
from storage.preorder import reservations as store
from workers import paid
from workers.preorder.settings import PreorderSettings
from workers.runtime.processing.handlers import replay_of
from workers.runtime.processing.tx import NoReply, Request, Retryable, RetryableNotFound, Tx
from workers.runtime.worker import Worker

worker = reservations = Worker("preorder.reservations", sends=(RefundRest, VoidPayment, VoidReceipt))

EVENT_OF_OUTCOME = {
    ReservationStatus.CONFIRMED: ReservationConfirmed,
    ReservationStatus.REJECTED: ReservationRejected,
    ReservationStatus.CANCELLED: ReservationCancelled,
}


# -- events of products


async def note_product(event: Any, tx: Tx) -> None:
    await store.project_product(tx, event)


for product_event in (ProductRegistered, ProductChanged):
    reservations.handles(product_event)(note_product)


# -- reserving


@reservations.handles(
    ReservePhone,
    requests=RequestPayment,
    begins_unserved=True,
    replays=replay_of(store.find, lambda found: _current_answer(found)),
)
async def reserve_phone(command: ReservePhone, tx: Tx) -> Request:
    payment_id = tx.derive_id("payment")
    try:
        reserved = await store.reserve(tx, tx.id, payment_id, command)
    except asyncpg.UniqueViolationError as error:
        if store.is_second_reservation(error):
            raise AlreadyReserved from None
        raise
    if reserved.reservation is None:
        raise _reserve_refusal(reserved, command.expected_price)
    tx.publish(ReservationStarted.of(reserved.reservation))
    reservation = reserved.reservation
    return paid.charge(
        tx,
        reservation.member_id,
        reservation.price,
        command.payment,
        within_ms=tx.settings(PreorderSettings).preorder_payment_ms,
        given_back_at="/v1/preorder/reservations/{}/cancellation",
    )


def _reserve_refusal(reserved: store.ReserveResult, expected_price: int | None) -> Refused:
    if reserved.product_status is None:
        return RetryableNotFound()
    if reserved.product_status == ProductStatus.CLOSED:
        return Closed()
    if reserved.active:
        return AlreadyReserved()
    if expected_price not in (None, reserved.price):
        return Retryable(PriceChanged(price=reserved.price))
    return QuotaFull()


@reserve_phone.then
async def settle_reservation(
    command: ReservePhone, outcome: PaymentState | Refused | NoReply, tx: Tx
) -> Reservation | Refused:
    settled = paid.settlement(
        outcome,
        paid=ReservationStatus.CONFIRMED,
        declined=ReservationStatus.REJECTED,
        unavailable=ReservationStatus.CANCELLED,
    )
    reservation = await store.settle(tx, tx.id, settled)
    if reservation is not None:
        tx.publish(EVENT_OF_OUTCOME[reservation.status].of(reservation))
        if reservation.status is ReservationStatus.CANCELLED:
            tx.publish(VoidPayment(payment_id=reservation.payment_id))
    return _current_answer(await store.find(tx, tx.id))


def _current_answer(found: tuple[Reservation, bool] | None) -> Reservation | Refused:
    """The answer to the command, from the current row."""
    if found is None:
        return NotFound()
    reservation, called_off = found
    details: dict[str, Any] = {
        "reservation_id": str(reservation.reservation_id),
        "current_status": reservation.status,
        "reason": reservation.reason,
    }
    if called_off:
        return CancelledMeanwhile(**details)
    if reservation.status is ReservationStatus.REJECTED:
        return ReservationDeclined(**details)
    if reservation.paid_at is None:
        return ReservationPaymentUnavailable(**details)
    return reservation


# -- cancelling


@reservations.handles(CancelReservation)
async def cancel_reservation(command: CancelReservation, tx: Tx) -> Reservation:
    reservation = await store.lock(tx, command.reservation_id)
    if reservation is None or not command.caller.may_see(reservation.member_id):
        raise NotFound
    reason = command.reason or ("cancelled_by_staff" if command.caller.is_staff else "cancelled_by_member")
    match reservation.status:
        case ReservationStatus.AWAITING_PAYMENT:
            cancelling = await store.cancel_unpaid(tx, reservation.reservation_id, reason)
            tx.publish(VoidPayment(payment_id=reservation.payment_id))
        case ReservationStatus.CONFIRMED:
            refund_id = uuid5(reservation.reservation_id, "refund")
            cancelling = await store.cancel(tx, reservation.reservation_id, refund_id, reason)
            tx.publish(RefundRest(payment_id=reservation.payment_id, refund_id=refund_id, reason=reason))
            tx.publish(
                VoidReceipt(
                    reservation_id=reservation.reservation_id,
                    member_id=reservation.member_id,
                    product_id=reservation.product_id,
                    amount=reservation.price,
                    reason=reason,
                )
            )
        case ReservationStatus.REJECTED:
            raise WrongState(current_status=reservation.status, allowed_actions=[])
        case _:
            return reservation
    assert cancelling is not None  # the row is locked
    tx.publish(ReservationCancelling.of(cancelling))
    return cancelling


# -- events of payments and receipts


async def note_receipt(event: Any, tx: Tx) -> None:
    if reservation_id := await store.note_receipt(tx, event):
        await _end_cancelling(tx, reservation_id)


async def _end_cancelling(tx: Tx, reservation_id: UUID) -> None:
    if cancelled := await store.end_cancelling(tx, reservation_id):
        tx.publish(ReservationCancelled.of(cancelled))


paid.follow(reservations, store.paid, _end_cancelling)
for receipt_event in (ReceiptIssued, ReceiptVoided):
    reservations.handles(receipt_event)(note_receipt)


# -- queries


@reservations.handles(ShowReservation)
async def show_reservation(query: ShowReservation, session: Session) -> ReservationWithAddress:
    reservation = await store.find_with_address(session, query.reservation_id)
    if reservation is None or not query.caller.may_see(reservation.member_id):
        raise RetryableNotFound
    return reservation


@reservations.handles(ListReservations)
async def list_reservations(query: ListReservations, session: Session) -> Page[ReservationWithAddress]:
    return await store.newest(session, query)


@reservations.handles(CountFree)
async def count_free(query: CountFree, session: Session) -> FreeCounts:
    return await store.count_free(session, query.product_ids)
