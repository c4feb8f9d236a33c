"""What a context does whose things are paid by card: charge, settle by the outcome, follow the payment's events.

charge -> RequestPayment -> Settlement (paid, declined, or without a reply: then the context sends VoidPayment)
follow -> the newest state of each thing's payment and refund, in the columns of `storage.paid`
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from contracts.base import Refused
from contracts.payments import (
    Card,
    ChargeDeclined,
    PaymentRefunded,
    PaymentState,
    PaymentStatus,
    PaymentUse,
    PaymentVoided,
    PaymentVoiding,
    RefundFailed,
    RefundStarted,
    RefundSucceeded,
    RequestPayment,
)
from contracts.refusals import PaymentUnavailable
from storage.paid import PaidThings, Settlement
from workers.runtime.processing.tx import NoReply, Request, Tx
from workers.runtime.worker import Worker

Status = TypeVar("Status", bound=str)

PAYMENT_EVENTS = (PaymentVoiding, PaymentVoided, PaymentRefunded)
REFUND_EVENTS = (RefundStarted, RefundFailed, RefundSucceeded)


def charge(
    tx: Tx, payer: str, amount: int, card: Card, *, within_ms: float, given_back_at: str | None = None
) -> Request:
    """Request the one payment of what this message creates, for the context that handles the message.

    `given_back_at` is the path of the action that gives the money back, `{}` in it the thing's id. With it staff cannot
    refund the payment by hand until the context sends `RefundRest` or `LetGoOfPayment`.
    """
    payment_id = tx.derive_id("payment")
    use = PaymentUse(object_id=tx.id, href=given_back_at.format(tx.id)) if given_back_at else None
    request = RequestPayment(
        payment_id=payment_id, payer=payer, amount=amount, method=card, purpose=tx.context, use=use
    )
    return tx.request(request, id=payment_id, within=within_ms / 1000)


def settlement(
    outcome: PaymentState | Refused | NoReply, *, paid: Status, declined: Status, unavailable: Status
) -> Settlement[Status]:
    """Choose the status of a thing by the outcome of its charge; without a definite one the payment is to be voided."""
    match outcome:
        case PaymentState():
            return Settlement(paid, PaymentStatus.APPROVED, paid_at=outcome.modified_at)
        case ChargeDeclined():
            return Settlement(declined, PaymentStatus.DECLINED, outcome.reason)
        case _:
            return Settlement(unavailable, PaymentStatus.VOIDING, PaymentUnavailable.code)


def follow(
    worker: Worker,
    things: PaidThings,
    then: Callable[[Tx, Any], Awaitable[None]] | None = None,
    *,
    refunds: bool = True,
) -> None:
    """Keep payments, and with `refunds` their refunds, up to date; `then` gets the id of the thing that has changed."""

    async def note_payment(event: Any, tx: Tx) -> None:
        if (changed := await things.note_payment(tx, event)) and then is not None:
            await then(tx, changed)

    async def note_refund(event: Any, tx: Tx) -> None:
        if (changed := await things.note_refund(tx, event)) and then is not None:
            await then(tx, changed)

    for payment_event in PAYMENT_EVENTS:
        worker.handles(payment_event, about=worker.name)(note_payment)
    for refund_event in REFUND_EVENTS if refunds else ():
        worker.handles(refund_event, about=worker.name)(note_refund)
