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
from contracts.payments import (
    ChargeDeclined,
    PaymentRefunded,
    PaymentState,
    PaymentStatus,
    PaymentVoided,
    PaymentVoiding,
    RefundFailed,
    RefundRest,
    RefundStarted,
    RefundSucceeded,
    RequestPayment,
    VoidPayment,
)
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
from contracts.refusals import NotFound, WrongState
from storage.database import Session
from storage.preorder import reservations as store
from workers.runtime.processing.tx import NoReply, Request, RetryableNotFound, Tx
from workers.runtime.worker import Worker

worker = reservations = Worker("preorder.reservations", sends=(RefundRest, VoidPayment, VoidReceipt))


# -- events of products


async def note_product(event: Any, tx: Tx) -> None:
    await store.project_product(tx, event)


for product_event in (ProductRegistered, ProductChanged):
    reservations.handles(product_event)(note_product)


# -- reserving


@reservations.handles(ReservePhone, requests=RequestPayment, begins_unserved=True)
async def reserve_phone(command: ReservePhone, tx: Tx) -> Request:
    payment_id = tx.derive_id("payment")
    try:
        reserved = await store.reserve(tx, tx.id, payment_id, command)
    except asyncpg.UniqueViolationError as error:
        if store.is_second_reservation(error):
            raise AlreadyReserved from None
        raise
    if reserved.reservation is None:
        raise _reserve_refusal(reserved)
    tx.publish(ReservationStarted.of(reserved.reservation))
    request = RequestPayment(
        payment_id=payment_id,
        payer=command.caller.member_id,
        amount=reserved.reservation.price,
        method=command.payment,
        purpose=worker.name,
    )
    return tx.request(request, id=payment_id, within=tx.settings.preorder_payment_ms / 1000)


def _reserve_refusal(reserved: store.ReserveResult) -> Refused:
    if reserved.product_status is None:
        return RetryableNotFound()
    if reserved.product_status == ProductStatus.CLOSED:
        return Closed()
    return AlreadyReserved() if reserved.active else QuotaFull()


@reserve_phone.then
async def settle_reservation(
    command: ReservePhone, outcome: PaymentState | Refused | NoReply, tx: Tx
) -> Reservation | Refused:
    match outcome:
        case PaymentState():
            reservation = await store.settle(
                tx, tx.id, ReservationStatus.CONFIRMED, PaymentStatus.APPROVED, paid_at=outcome.modified_at
            )
            if reservation:
                tx.publish(ReservationConfirmed.of(reservation))
        case ChargeDeclined():
            reservation = await store.settle(
                tx, tx.id, ReservationStatus.REJECTED, PaymentStatus.DECLINED, reason=outcome.reason
            )
            if reservation:
                tx.publish(ReservationRejected.of(reservation))
        case _:
            reason = ReservationPaymentUnavailable.code
            reservation = await store.settle(
                tx, tx.id, ReservationStatus.CANCELLED, PaymentStatus.VOIDING, reason=reason
            )
            if reservation:
                tx.publish(ReservationCancelled.of(reservation))
                tx.publish(VoidPayment(payment_id=reservation.payment_id))
    return await _current_answer(tx)


async def _current_answer(tx: Tx) -> Reservation | Refused:
    """The answer to the command, from the current row."""
    found = await store.find(tx, tx.id)
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


async def note_payment(event: Any, tx: Tx) -> None:
    await _end_cancelling(tx, await store.note_payment(tx, event))


async def note_refund(event: Any, tx: Tx) -> None:
    await _end_cancelling(tx, await store.note_refund(tx, event))


async def note_receipt(event: Any, tx: Tx) -> None:
    await _end_cancelling(tx, await store.note_receipt(tx, event))


async def _end_cancelling(tx: Tx, reservation_id: UUID | None) -> None:
    if reservation_id is not None and (cancelled := await store.end_cancelling(tx, reservation_id)):
        tx.publish(ReservationCancelled.of(cancelled))


for payment_event in (PaymentVoiding, PaymentVoided, PaymentRefunded):
    reservations.handles(payment_event, about=reservations.name)(note_payment)
for refund_event in (RefundStarted, RefundFailed, RefundSucceeded):
    reservations.handles(refund_event, about=reservations.name)(note_refund)
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
