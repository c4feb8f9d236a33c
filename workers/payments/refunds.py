"""Refund money: reserve the amount on the payment, then call the provider until the refund has succeeded.

RefundRest    -> RefundStarted, DriveRefund
              -> RefundSucceeded                       (amount 0: nothing to refund)
RefundAmount  -> RefundStarted, DriveRefund
              -> RefundRefused                         (more than what is left)
RefundPayment -> RefundStarted, DriveRefund            (staff; refused while a business counts on the payment)
DriveRefund   -> (provider) -> RefundSucceeded, PaymentRefunded
                            -> RefundFailed            (retried with growing delay, without limit)
"""

from __future__ import annotations

from contracts.payments import (
    DriveRefund,
    LetGoOfPayment,
    PaymentRefunded,
    PaymentState,
    RefundAmount,
    RefundEvent,
    RefundFailed,
    RefundPayment,
    RefundRefused,
    RefundRest,
    RefundStarted,
    RefundState,
    RefundStatus,
    RefundSucceeded,
    UsePayment,
)
from contracts.refusals import NotFound, StillRunning
from storage.payments import payments as uses
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
    RefundStatus.REFUSED: RefundRefused,
}


# -- what pays for a thing is refunded through its business


@payments.handles(UsePayment)
async def use_payment(command: UsePayment, tx: Tx) -> None:
    await uses.use(tx, command.payment_id, command.use)


@payments.handles(LetGoOfPayment)
async def let_go_of_payment(command: LetGoOfPayment, tx: Tx) -> None:
    await uses.let_go(tx, command.payment_id)


# -- refunds


@payments.handles(RefundRest)
async def refund_rest(command: RefundRest, tx: Tx) -> None:
    payment, use = await store.lock_payment(tx, command.payment_id)
    if use is not None:
        await uses.let_go(tx, command.payment_id)
    await _start_once(tx, payment, command, rules.refundable_amount(payment))


@payments.handles(RefundAmount)
async def refund_amount(command: RefundAmount, tx: Tx) -> None:
    payment, _ = await store.lock_payment(tx, command.payment_id)
    refusal = rules.refund_refusal(payment, command.amount) if payment else NotFound()
    await _start_once(tx, payment, command, command.amount, refusal.code if refusal else None)


async def _start_once(
    tx: Tx, payment: PaymentState | None, command: RefundRest | RefundAmount, amount: int, refusal: str | None = None
) -> None:
    """Start a refund whose payment is locked, and publish its state; a repetition publishes the state as it is now."""
    refund = await store.find(tx, command.refund_id)
    if refund is None:
        refund = await store.start(tx, payment, command, amount, tx.envelope.actor, refusal=refusal)
        if refund is not None and refund.status is RefundStatus.PENDING:
            tx.schedule(DriveRefund(refund_id=refund.refund_id))
    refund = refund or await store.find(tx, command.refund_id)
    assert refund is not None
    tx.publish(EVENT_OF_STATUS[refund.status].of(refund))


@payments.handles(RefundPayment, replays=store.find)
async def refund_payment(command: RefundPayment, tx: Tx) -> RefundState:
    payment, use = await store.lock_payment(tx, command.payment_id)
    if payment is None:
        raise RetryableNotFound
    if refusal := rules.refund_refusal(payment, command.amount, use):
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
