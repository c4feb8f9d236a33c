"""Rules of payments, without I/O."""

from __future__ import annotations

from contracts.base import Refused
from contracts.payment_discrepancies import DiscrepancyKind
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
from storage.payments.discrepancies import Books
from workers.payments.provider import ProviderCharge

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


UNSETTLED = frozenset({PaymentStatus.REQUESTED, PaymentStatus.VOIDING})


def late_charge(books: Books | None, charge: ProviderCharge | None) -> bool:
    """Whether the provider keeps money of a payment that is voided: it is voided once more."""
    return bool(books and books.status is PaymentStatus.VOIDED and charge and charge.captured > charge.given_back)


def differences(books: Books | None, charge: ProviderCharge | None) -> dict[DiscrepancyKind, int]:
    """What the provider's books of a charge say otherwise than ours, with the amounts in won.

    A refund in progress may have succeeded at the provider or not. Unsettled payments and late charges have none.
    """
    kept = charge.captured - charge.given_back if charge else 0
    disputed = {DiscrepancyKind.DISPUTED: charge.disputed} if charge and charge.disputed else {}
    if books is None or books.status is PaymentStatus.DECLINED:
        return disputed | ({DiscrepancyKind.UNKNOWN_CHARGE: kept} if kept else {})
    if books.status in UNSETTLED or late_charge(books, charge):
        return {}
    if charge is None or (charge.captured == 0 and books.captured > 0):
        missing = books.captured - books.given_back
        return {DiscrepancyKind.MISSING_CHARGE: missing} if missing else {}
    found = {
        DiscrepancyKind.AMOUNT_DIFFERS: abs(charge.captured - books.captured),
        DiscrepancyKind.REFUNDED_AT_PROVIDER: charge.given_back - books.given_back - books.refunding,
        DiscrepancyKind.REFUND_REVERSED: books.given_back - charge.given_back,
    }
    return disputed | {kind: amount for kind, amount in found.items() if amount > 0}
