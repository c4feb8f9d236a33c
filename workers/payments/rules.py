"""Rules of payments, without I/O."""

from __future__ import annotations

from contracts.base import Refused
from contracts.payments import (
    AlreadyVoided,
    ChargeDeclined,
    PaymentMismatch,
    PaymentState,
    PaymentStatus,
    PaymentUse,
    RefundThroughBusiness,
    RefundTooLarge,
    RequestPayment,
)
from contracts.refusals import StillRunning, WrongState

ANSWER_SECONDS = 0.1
"""Part of the requester's time that is reserved for storing the outcome and replying."""

REFUNDABLE = frozenset({PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED})


def time_for_provider(limit: float, budget: float | None) -> float:
    """Seconds that a charge may take, out of the requester's `budget` (None: nobody waits for the reply).

    0 or less means that there is no time left for the charge.
    """
    return limit if budget is None else min(limit, budget - ANSWER_SECONDS)


def answer_to_repeat(known: PaymentState, command: RequestPayment) -> PaymentState | Refused:
    """The answer to a request for a payment that exists already."""
    if known.status in (PaymentStatus.VOIDING, PaymentStatus.VOIDED):
        return AlreadyVoided(current_status=known.status)
    if (known.payer, known.amount) != (command.payer, command.amount):
        return PaymentMismatch(current_status=known.status)
    if known.status is PaymentStatus.REQUESTED:
        return StillRunning(current_status=known.status)
    if known.status is PaymentStatus.DECLINED:
        return ChargeDeclined(reason=known.reason)
    return known


def refundable_amount(payment: PaymentState | None) -> int:
    """The amount that can still be refunded, in won; 0 for an unknown payment or one in another status."""
    if payment is None or payment.status not in REFUNDABLE:
        return 0
    return payment.captured - payment.refunding - payment.refunded


def refund_refusal(payment: PaymentState, amount: int, use: PaymentUse | None = None) -> Refused | None:
    """The refusal of a refund by hand, or without `use` of one by the business itself; None when it is allowed."""
    if payment.status not in REFUNDABLE:
        return WrongState(current_status=payment.status)
    if use is not None:
        return RefundThroughBusiness(business=payment.purpose, object_id=str(use.object_id), href=use.href)
    refundable = refundable_amount(payment)
    if amount > refundable:
        return RefundTooLarge(left=refundable, current_status=payment.status)
    return None
