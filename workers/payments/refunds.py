"""Refund money: reserve the amount on the payment, then call the provider until the refund has succeeded.

RefundRest    -> RefundStarted, DriveRefund
              -> RefundSucceeded                       (amount 0: nothing to refund)
RefundPayment -> RefundStarted, DriveRefund            (staff)
DriveRefund   -> (provider) -> RefundSucceeded, PaymentRefunded
                            -> RefundFailed            (retried with growing delay, without limit)
"""

from __future__ import annotations

from contracts.payments import (
    DriveRefund,
    PaymentRefunded,
    RefundEvent,
    RefundFailed,
    RefundPayment,
    RefundRest,
    RefundStarted,
    RefundState,
    RefundStatus,
    RefundSucceeded,
)
from contracts.refusals import StillRunning
from storage.payments import refunds as store
from workers.payments import rules
from workers.payments.base import payments
from workers.payments.provider import NotRefunded, ProviderClient, Refunded
from workers.runtime.processing.tx import ExternalCall, NoReply, RetryableNotFound, RunAgain, Tx

FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0

EVENT_OF_STATUS: dict[RefundStatus, type[RefundEvent]] = {
    RefundStatus.PENDING: RefundStarted,
    RefundStatus.REFUND_FAILED: RefundFailed,
    RefundStatus.REFUNDED: RefundSucceeded,
}


@payments.handles(RefundRest)
async def refund_rest(command: RefundRest, tx: Tx) -> None:
    payment = await store.lock_payment(tx, command.payment_id)
    refund = await store.find(tx, command.refund_id)
    if refund is None:
        refund = await store.start(tx, payment, command, rules.refundable_amount(payment), tx.envelope.actor)
        if refund is not None and refund.status is RefundStatus.PENDING:
            tx.schedule(DriveRefund(refund_id=refund.refund_id))
    refund = refund or await store.find(tx, command.refund_id)
    assert refund is not None
    tx.publish(EVENT_OF_STATUS[refund.status].of(refund))


@payments.handles(RefundPayment)
async def refund_payment(command: RefundPayment, tx: Tx) -> RefundState:
    payment = await store.lock_payment(tx, command.payment_id)
    if payment is None:
        raise RetryableNotFound
    if refusal := rules.refund_refusal(payment, command.amount):
        raise refusal
    wanted = RefundRest(payment_id=command.payment_id, refund_id=tx.id, reason=command.reason)
    refund = await store.start(tx, payment, wanted, command.amount, command.caller.member_id)
    if refund is None:
        raise StillRunning
    tx.publish(RefundStarted.of(refund))
    tx.schedule(DriveRefund(refund_id=refund.refund_id))
    return refund


@payments.handles(DriveRefund)
async def drive_refund(command: DriveRefund, tx: Tx) -> ExternalCall | None:
    provider = tx.resource(ProviderClient)
    attempt = await store.begin_attempt(tx, command.refund_id)
    if attempt is None:
        return None
    refund, number = attempt
    arguments = (refund.refund_id, refund.payment_id, refund.amount)
    return ExternalCall(lambda: provider.refund(*arguments, again=number > 1), within=2 * provider.limit)


@drive_refund.then
async def end_refund(command: DriveRefund, outcome: Refunded | NotRefunded | NoReply, tx: Tx) -> RunAgain | None:
    if isinstance(outcome, Refunded):
        if refund := await store.complete(tx, command.refund_id):
            tx.publish(RefundSucceeded.of(refund))
            tx.publish(PaymentRefunded.of(await store.add_to_payment(tx, refund)))
        return None
    failure = outcome.reason if isinstance(outcome, NotRefunded) else "provider_unavailable"
    if refund := await store.fail(tx, command.refund_id, failure):
        tx.publish(RefundFailed.of(refund))
    return RunAgain(tx.backoff(FIRST_DELAY, LONGEST_DELAY))
