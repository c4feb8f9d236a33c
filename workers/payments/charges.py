"""Charge a card once, and void a charge whatever its state is.

RequestPayment -> (provider) -> PaymentApproved
                             -> PaymentDeclined
                             -> PaymentVoiding, DriveVoid      (no reply)
VoidPayment    -> PaymentVoiding, DriveVoid                    (something may have been charged)
               -> PaymentVoided                                (nothing to void)
DriveVoid      -> (provider) -> PaymentVoided, LookForCharge after an hour and after a day
LookForCharge  -> (provider) -> PaymentVoided                  (a charge appeared after the void)

Nothing is written before the provider has replied. A process that dies in between leaves no row: the requester, which
has committed its own, voids the payment, and the void asks the provider whatever this context knows.
"""

from __future__ import annotations

import time
from datetime import timedelta

from contracts.base import Refused
from contracts.outcomes import Outcome
from contracts.payments import (
    ChargeDeclined,
    DriveVoid,
    LookForCharge,
    PaymentApproved,
    PaymentDeclined,
    PaymentState,
    PaymentStatus,
    PaymentVoided,
    PaymentVoiding,
    ProviderUnavailable,
    RequestPayment,
    VoidPayment,
)
from storage.payments import payments as store
from workers.payments import rules
from workers.payments.base import payments
from workers.payments.provider import Approved, Declined, NoCharge, ProviderClient, Voided
from workers.runtime.processing.tx import ExternalCall, NoReply, RunAgain, Tx

LATE_CHARGE_CHECKS = (timedelta(hours=1), timedelta(hours=24))
FIRST_DELAY, LONGEST_DELAY = 0.5, 60.0


@payments.handles(RequestPayment, read_only=True)
async def request_payment(command: RequestPayment, tx: Tx) -> ExternalCall | PaymentState:
    provider = tx.resource(ProviderClient)
    seconds = rules.time_for_provider(provider.limit, tx.time_left() if tx.envelope.is_request else None)
    if seconds <= 0:
        raise ProviderUnavailable
    if known := await store.find(tx, command.payment_id):
        return _repeated(known, command)
    deadline = time.monotonic() + seconds
    charge = (command.payment_id, command.amount, command.method.token)
    payer, purpose = command.payer, str(command.purpose).partition(":")[0]
    return ExternalCall(
        lambda: provider.charge(*charge, payer=payer, purpose=purpose, deadline=deadline), within=seconds
    )


def _repeated(known: PaymentState, command: RequestPayment) -> PaymentState:
    answer = rules.answer_to_repeat(known, command)
    if isinstance(answer, Refused):
        raise answer
    return answer


@request_payment.then
async def settle_payment(
    command: RequestPayment, outcome: Approved | Declined | NoReply, tx: Tx
) -> PaymentState | Refused:
    match outcome:
        case Approved(captured):
            payment = await store.settle(tx, command, PaymentStatus.APPROVED, captured=captured)
            if payment:
                tx.publish(PaymentApproved.of(payment))
                return payment
        case Declined(reason):
            payment = await store.settle(tx, command, PaymentStatus.DECLINED, reason=reason)
            if payment:
                tx.publish(PaymentDeclined.of(payment))
                return ChargeDeclined(reason=reason)
        case _:
            refusal = ProviderUnavailable()
            payment = await store.settle(tx, command, PaymentStatus.VOIDING, reason=refusal.code)
            if payment:
                tx.publish(PaymentVoiding.of(payment))
                tx.schedule(DriveVoid(payment_id=command.payment_id))
                return refusal
    return await _settled_by_another(command, tx)


async def _settled_by_another(command: RequestPayment, tx: Tx) -> PaymentState | Refused:
    """The answer when a void or a repeated request was faster; a charge behind a void is looked for at once."""
    known = await store.find(tx, command.payment_id)
    assert known is not None
    if known.status is PaymentStatus.VOIDED:
        tx.schedule(LookForCharge(payment_id=command.payment_id))
    return rules.answer_to_repeat(known, command)


@payments.handles(VoidPayment)
async def void_payment(command: VoidPayment, tx: Tx) -> None:
    while True:
        payment = await store.begin_void(tx, command.payment_id) or await store.write_tombstone(tx, command.payment_id)
        if payment:
            tx.publish(PaymentVoiding.of(payment))
            tx.schedule(DriveVoid(payment_id=command.payment_id))
            return
        payment = await store.find(tx, command.payment_id)
        assert payment is not None
        if payment.status is PaymentStatus.VOIDING:  # DriveVoid is scheduled and ends in PaymentVoided
            return
        if payment.status in (PaymentStatus.VOIDED, PaymentStatus.DECLINED, PaymentStatus.REFUNDED):
            tx.publish(PaymentVoided.of(payment))
            return
        # The payment was settled after `begin_void` had found nothing: void it in the next round.


@payments.handles(DriveVoid)
async def drive_void(command: DriveVoid, tx: Tx) -> ExternalCall | RunAgain | None:
    provider = tx.resource(ProviderClient)
    void = await store.find_voiding(tx, command.payment_id)
    if void is None or void.payment.status is PaymentStatus.VOIDED:
        return None
    if void.payment.refunding:  # wait until the refund in progress has ended; no other one can start
        return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
    return ExternalCall(lambda: provider.void(command.payment_id), within=provider.limit)


@drive_void.then
async def end_void(command: DriveVoid, outcome: Voided | NoCharge | NoReply, tx: Tx) -> RunAgain | None:
    void = await store.find_voiding(tx, command.payment_id)
    if void is None or void.payment.status is PaymentStatus.VOIDED:
        return None
    match outcome:
        case Voided(amount):
            voided = amount
        case NoCharge() if void.age.total_seconds() > tx.resource(ProviderClient).capture_window:
            voided = 0
        case _:
            return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
    if payment := await store.end_void(tx, command.payment_id, voided):
        tx.publish(PaymentVoided.of(payment))
        for after in LATE_CHARGE_CHECKS:
            tx.schedule(LookForCharge(payment_id=command.payment_id), after=after, name=f"look after {after}")
    return None


@payments.handles(LookForCharge)
async def look_for_charge(command: LookForCharge, tx: Tx) -> ExternalCall | None:
    provider = tx.resource(ProviderClient)
    void = await store.find_voiding(tx, command.payment_id)
    if void is None or void.payment.status is not PaymentStatus.VOIDED:
        return None
    return ExternalCall(lambda: provider.void(command.payment_id), within=provider.limit)


@look_for_charge.then
async def void_late_charge(command: LookForCharge, outcome: Voided | NoCharge | NoReply, tx: Tx) -> RunAgain | None:
    match outcome:
        case Voided(amount):
            if payment := await store.end_void(tx, command.payment_id, amount):
                tx.publish(PaymentVoided.of(payment))
        case Outcome():
            return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
    return None
