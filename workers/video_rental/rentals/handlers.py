"""Video rental: bookings of videos, pickup, return and late fees.

BookVideo     -> BookingStarted -> RequestPayment -> VideoBooked, GiveUpBooking (a timer)
                                                  -> BookingRejected                 (declined)
                                                  -> BookingCancelled, VoidPayment   (no reply in time)
CancelBooking -> BookingCancelled, RefundRest
GiveUpBooking -> BookingCancelled, RefundRest       (not picked up in time)
PickUpVideo   -> VideoRented, UsePayment            (the payment is given back by a return first)
ReturnVideo   -> VideoReturned, LetGoOfPayment      (from now on staff may refund it by hand)
PayLateFee    -> LateFeePaying -> RequestPayment -> LateFeePaid
                                                 -> LateFeePaying (OWED again; VoidPayment if there was no reply)
WaiveLateFee  -> LateFeeWaived
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import asyncpg

from contracts.base import Caller, Page, Refused
from contracts.payments import (
    Card,
    ChargeDeclined,
    LetGoOfPayment,
    PaymentState,
    PaymentUse,
    RefundRest,
    RequestPayment,
    UsePayment,
    VoidPayment,
)
from contracts.refusals import NotFound, PriceChanged, WrongState
from contracts.video_rental.refusals import (
    AlreadyBooked,
    BookingDeclined,
    BookingPaymentUnavailable,
    LateFeeDeclined,
    LateFeeOwed,
    LateFeePaymentUnavailable,
    LateFeeWrongState,
    VideoNotAvailable,
)
from contracts.video_rental.rentals import (
    BookingCancelled,
    BookingRejected,
    BookingStarted,
    BookVideo,
    CancelBooking,
    GiveUpBooking,
    LateFeePaid,
    LateFeePaying,
    LateFeeStatus,
    LateFeeWaived,
    ListRentals,
    ListShelf,
    PayLateFee,
    PickUpVideo,
    Rental,
    RentalStatus,
    ReturnVideo,
    ShowRental,
    ShowShelf,
    VideoBooked,
    VideoOnShelf,
    VideoRented,
    VideoReturned,
    WaiveLateFee,
)
from contracts.video_rental.videos import VideoChanged, VideoRegistered
from storage.database import Session
from storage.video_rental import rentals as store
from workers import paid
from workers.runtime.processing.handlers import replay_of
from workers.runtime.processing.tx import NoReply, Request, Retryable, RetryableNotFound, Tx
from workers.runtime.worker import Worker
from workers.video_rental.rentals import rules
from workers.video_rental.settings import VideoRentalSettings

worker = rentals = Worker("video_rental.rentals", sends=(RefundRest, VoidPayment, UsePayment, LetGoOfPayment))

CANCELLATION = "/v1/video-rental/rentals/{}/cancellation"
RETURN = "/v1/video-rental/rentals/{}/return"

ACTIONS = {
    RentalStatus.BOOKED: ["cancellation", "pickup"],
    RentalStatus.RENTED: ["return"],
    RentalStatus.RETURNED: ["late-fee-payment", "late-fee-waiver"],
}


def wrong_state(rental: Rental) -> WrongState:
    return WrongState(current_status=rental.status, allowed_actions=ACTIONS.get(rental.status, []))


async def locked(tx: Tx, rental_id: UUID, caller: Caller) -> tuple[Rental, datetime]:
    """The caller's rental, locked until the step ends, and the database's time; raises NotFound."""
    found = await store.lock(tx, rental_id)
    if found is None or not caller.may_see(found[0].member_id):
        raise NotFound
    return found


# -- events of videos


@rentals.handles(VideoRegistered)
async def note_registered(event: VideoRegistered, tx: Tx) -> None:
    await store.project_video(tx, event)


@rentals.handles(VideoChanged)
async def note_changed(event: VideoChanged, tx: Tx) -> None:
    await store.project_video(tx, event)


# -- booking


@rentals.handles(
    BookVideo,
    requests=RequestPayment,
    begins_unserved=True,
    replays=replay_of(store.find, lambda rental: _current_answer(rental)),
)
async def book_video(command: BookVideo, tx: Tx) -> Request:
    payment_id = tx.derive_id("payment")
    try:
        held = await store.hold_copy(tx, tx.id, payment_id, command)
    except asyncpg.UniqueViolationError as error:
        if store.is_second_booking(error):
            raise AlreadyBooked from None
        raise
    if held.rental is None:
        raise _hold_refusal(held, command.expected_price)
    tx.publish(BookingStarted.of(held.rental))
    return _charge(tx, held.rental.member_id, held.rental.price, command.payment, CANCELLATION)


def _charge(tx: Tx, member_id: str, amount: int, card: Card, given_back_at: str | None = None) -> Request:
    limit = tx.settings(VideoRentalSettings).video_rental_payment_ms
    return paid.charge(tx, member_id, amount, card, within_ms=limit, given_back_at=given_back_at)


def _hold_refusal(held: store.HoldResult, expected_price: int | None) -> Refused:
    if held.price is None:
        return RetryableNotFound()
    if held.owing:
        return LateFeeOwed()
    if held.active:
        return AlreadyBooked()
    if expected_price not in (None, held.price):
        return Retryable(PriceChanged(price=held.price))
    return VideoNotAvailable()


@book_video.then
async def settle_booking(command: BookVideo, outcome: PaymentState | Refused | NoReply, tx: Tx) -> Rental | Refused:
    pickup = tx.settings(VideoRentalSettings).pickup_time
    settled = paid.settlement(
        outcome, paid=RentalStatus.BOOKED, declined=RentalStatus.REJECTED, unavailable=RentalStatus.CANCELLED
    )
    rental = await store.settle(tx, tx.id, settled, pickup)
    if rental is None:
        return _current_answer(await store.find(tx, tx.id))
    if rental.status is RentalStatus.BOOKED:
        tx.publish(VideoBooked.of(rental))
        tx.schedule(GiveUpBooking(rental_id=rental.rental_id), after=pickup)
    elif rental.status is RentalStatus.REJECTED:
        tx.publish(BookingRejected.of(rental))
    else:
        tx.publish(BookingCancelled.of(rental))
        tx.publish(VoidPayment(payment_id=rental.payment_id))
    return _current_answer(rental)


def _current_answer(rental: Rental | None) -> Rental | Refused:
    """The answer to the command, from the current row."""
    if rental is None:
        return NotFound()
    details: dict[str, Any] = {
        "rental_id": str(rental.rental_id),
        "current_status": rental.status,
        "reason": rental.reason,
    }
    if rental.status is RentalStatus.REJECTED:
        return BookingDeclined(**details)
    if rental.status is RentalStatus.CANCELLED and rental.pickup_until is None:
        return BookingPaymentUnavailable(**details)
    return rental


# -- cancelling


@rentals.handles(CancelBooking)
async def cancel_booking(command: CancelBooking, tx: Tx) -> Rental:
    rental, _ = await locked(tx, command.rental_id, command.caller)
    if rental.status is RentalStatus.CANCELLED:
        return rental
    by = "cancelled_by_staff" if command.caller.is_staff else "cancelled_by_member"
    cancelled = await _cancel(tx, rental, command.reason or by)
    if cancelled is None:
        raise wrong_state(rental)
    return cancelled


@rentals.handles(GiveUpBooking)
async def give_up_booking(command: GiveUpBooking, tx: Tx) -> None:
    found = await store.lock(tx, command.rental_id)
    if found is not None:
        await _cancel(tx, found[0], "not_picked_up")


async def _cancel(tx: Tx, rental: Rental, reason: str) -> Rental | None:
    refund_id = uuid5(rental.rental_id, "refund")
    cancelled = await store.cancel(tx, rental.rental_id, refund_id, reason)
    if cancelled is not None:
        tx.publish(BookingCancelled.of(cancelled))
        tx.publish(RefundRest(payment_id=cancelled.payment_id, refund_id=refund_id, reason=reason))
    return cancelled


# -- pickup and return


@rentals.handles(PickUpVideo)
async def pick_up_video(command: PickUpVideo, tx: Tx) -> Rental:
    rental, now = await locked(tx, command.rental_id, command.caller)
    if rental.status is RentalStatus.RENTED:
        return rental
    rented = await store.pick_up(tx, rental.rental_id, now, rules.due_at(now, rental.days))
    if rented is None:
        raise wrong_state(rental)
    tx.publish(VideoRented.of(rented))
    use = PaymentUse(object_id=rented.rental_id, href=RETURN.format(rented.rental_id))
    tx.publish(UsePayment(payment_id=rented.payment_id, use=use))
    return rented


@rentals.handles(ReturnVideo)
async def return_video(command: ReturnVideo, tx: Tx) -> Rental:
    rental, now = await locked(tx, command.rental_id, command.caller)
    if rental.status is RentalStatus.RETURNED:
        return rental
    if rental.due_at is None:
        raise wrong_state(rental)
    fee = rules.late_fee(rental.due_at, now, rental.daily_price)
    returned = await store.take_back(tx, rental.rental_id, now, fee)
    if returned is None:
        raise wrong_state(rental)
    tx.publish(VideoReturned.of(returned))
    tx.publish(LetGoOfPayment(payment_id=returned.payment_id))
    return returned


# -- late fees


@rentals.handles(PayLateFee, requests=RequestPayment)
async def pay_late_fee(command: PayLateFee, tx: Tx) -> Rental | Request:
    rental, _ = await locked(tx, command.rental_id, command.caller)
    if rental.late_fee_status is LateFeeStatus.PAID:
        return rental
    payment_id = tx.derive_id("payment")
    paying = await store.move_late_fee(
        tx, rental.rental_id, LateFeeStatus.OWED, LateFeeStatus.PAYING, payment_id=payment_id
    )
    if paying is None:
        raise _late_fee_wrong_state(rental)
    tx.publish(LateFeePaying.of(paying))
    return _charge(tx, rental.member_id, rental.late_fee, command.payment)


def _late_fee_wrong_state(rental: Rental) -> LateFeeWrongState:
    return LateFeeWrongState(current_status=rental.status, late_fee_status=rental.late_fee_status, allowed_actions=[])


@pay_late_fee.then
async def settle_late_fee(command: PayLateFee, outcome: PaymentState | Refused | NoReply, tx: Tx) -> Rental | Refused:
    payment_id = tx.derive_id("payment")
    to = LateFeeStatus.PAID if isinstance(outcome, PaymentState) else LateFeeStatus.OWED
    rental = await store.move_late_fee(tx, command.rental_id, LateFeeStatus.PAYING, to, paying=payment_id)
    if rental is None:
        return await _current_late_fee_answer(tx, command.rental_id, payment_id)
    if to is LateFeeStatus.PAID:
        tx.publish(LateFeePaid.of(rental))
        return rental
    tx.publish(LateFeePaying.of(rental))
    details = {"rental_id": str(rental.rental_id), "late_fee_status": rental.late_fee_status}
    if isinstance(outcome, ChargeDeclined):
        return LateFeeDeclined(reason=outcome.reason, **details)
    tx.publish(VoidPayment(payment_id=payment_id))
    return LateFeePaymentUnavailable(**details)


async def _current_late_fee_answer(tx: Tx, rental_id: UUID, payment_id: UUID) -> Rental | Refused:
    rental = await store.find(tx, rental_id)
    if rental is not None and rental.late_fee_status is LateFeeStatus.PAID and rental.late_fee_payment_id == payment_id:
        return rental
    return LateFeePaymentUnavailable(rental_id=str(rental_id))


@rentals.handles(WaiveLateFee)
async def waive_late_fee(command: WaiveLateFee, tx: Tx) -> Rental:
    rental, _ = await locked(tx, command.rental_id, command.caller)
    if rental.late_fee_status is LateFeeStatus.WAIVED:
        return rental
    waived = await store.move_late_fee(
        tx, rental.rental_id, LateFeeStatus.OWED, LateFeeStatus.WAIVED, reason=command.reason
    )
    if waived is None:
        raise _late_fee_wrong_state(rental)
    tx.publish(LateFeeWaived.of(waived))
    return waived


# -- events of payments

paid.follow(rentals, store.paid)


# -- queries


@rentals.handles(ShowRental)
async def show_rental(query: ShowRental, session: Session) -> Rental:
    rental = await store.find(session, query.rental_id)
    if rental is None or not query.caller.may_see(rental.member_id):
        raise NotFound
    return rental


@rentals.handles(ListRentals)
async def list_rentals(query: ListRentals, session: Session) -> Page[Rental]:
    return await store.newest(session, query)


@rentals.handles(ShowShelf)
async def show_shelf(query: ShowShelf, session: Session) -> VideoOnShelf:
    video = await store.on_shelf(session, query.video_id)
    if video is None:
        raise RetryableNotFound
    return video


@rentals.handles(ListShelf)
async def list_shelf(query: ListShelf, session: Session) -> Page[VideoOnShelf]:
    return await store.shelf(session, query)
