"""What payments decides without looking anything up."""

from __future__ import annotations

from contracts.base import Refused
from contracts.payments import PaymentState, PaymentStatus, RequestPayment

ANSWER_SECONDS = 0.1
"""Kept back from a budget to note the outcome and to answer."""

REFUNDABLE = frozenset({PaymentStatus.APPROVED, PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED})


def time_for_provider(limit: float, budget: float | None) -> float:
    """Seconds that a charge may take, of an asker's `budget` (None: nobody waits); 0 or less: too late to begin."""
    return limit if budget is None else min(limit, budget - ANSWER_SECONDS)


def same_answer(known: PaymentState, command: RequestPayment) -> PaymentState | Refused:
    """What a payment that is known already answers to its request."""
    if known.status in (PaymentStatus.VOIDING, PaymentStatus.VOIDED):
        return Refused("voided", current_status=known.status)
    if (known.payer, known.amount) != (command.payer, command.amount):
        return Refused("payment_mismatch", current_status=known.status)
    if known.status is PaymentStatus.REQUESTED:
        return Refused("still_running", current_status=known.status)
    if known.status is PaymentStatus.DECLINED:
        return Refused("declined", reason=known.reason)
    return known


def left_of(payment: PaymentState | None) -> int:
    """What could still be given back, in won: 0 unless the payment stands."""
    if payment is None or payment.status not in REFUNDABLE:
        return 0
    return payment.captured - payment.refunding - payment.refunded


def may_refund(payment: PaymentState, amount: int) -> Refused | None:
    """Why a refund by hand cannot be: None when it can."""
    if payment.status not in REFUNDABLE:
        return Refused("wrong_state", current_status=payment.status)
    left = left_of(payment)
    if amount > left:
        return Refused("refund_too_large", left=left, current_status=payment.status)
    return None
