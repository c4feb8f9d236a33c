"""Payments: charge a card once, void a charge whatever its state is, refund what remains.

RequestPayment -> PaymentApproved | PaymentDeclined | PaymentVoiding -> PaymentVoided
VoidPayment    -> PaymentVoiding -> PaymentVoided         (at once when there is nothing to undo)
RefundRest     -> RefundStarted -> RefundSucceeded, PaymentRefunded   (RefundFailed between the tries)
               -> RefundSucceeded                         (amount 0: nothing to refund)
RefundAmount   -> as RefundRest, or RefundRefused         (more than what is left)
UsePayment     -> a refund by hand is refused: it goes through the business that counts on the payment
LetGoOfPayment -> a refund by hand is possible            (RefundRest lets go of it, too)

Each repetition of a compensating command (VoidPayment, RefundRest) publishes its final event again. If the state has
not changed, the event has the same version: a view ignores it, a saga that waits for it continues.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Refused, Shape, Won, Words
from contracts.refusals import NotFound, StillRunning, WrongState

CARD_TOKEN = r"^(tok_[a-z0-9_]{1,64}|pm_[A-Za-z0-9_]{1,64}|billing-key-[A-Za-z0-9-]{1,64})$"
"""A token of the simulator, a payment method of Stripe, a billing key of PortOne."""


def _card_token(text: str) -> str:
    if not re.fullmatch(CARD_TOKEN, text):
        raise ValueError("no token of a payment provider")
    return text


class PaymentStatus(StrEnum):
    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    VOIDING = "VOIDING"
    VOIDED = "VOIDED"
    PARTIALLY_REFUNDED = "PARTIALLY_REFUNDED"
    REFUNDED = "REFUNDED"


class RefundStatus(StrEnum):
    PENDING = "PENDING"
    REFUNDED = "REFUNDED"
    REFUND_FAILED = "REFUND_FAILED"
    REFUSED = "REFUSED"
    """Never begun: more than what was left of the payment."""


class Card(Shape):
    """A tokenised card; a card number is never accepted."""

    method: Literal["card"]
    token: Annotated[str, AfterValidator(_card_token)]
    """Matches `CARD_TOKEN`; the gateway's own shape has the pattern in its schema."""
    last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    brand: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class PaymentState(Shape):
    """The public state of a payment; `version` is 1 with the first outcome.

    A void that arrives before its request creates a VOIDING payment with an empty payer and purpose and amount 0.
    """

    payment_id: UUID
    status: PaymentStatus
    payer: str
    amount: Won
    purpose: str
    """The context that requested it, e.g. `video_rental.rentals`."""
    method: str
    last4: str | None
    brand: str | None
    captured: Won
    """The amount captured and not voided by the provider; `captured - refunded` is what the provider still has."""
    refunding: Won
    """Reserved for refunds that have not succeeded yet."""
    refunded: Won
    reason: str | None
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class RefundState(Shape):
    """One refund of a payment; `version` counts from 1."""

    refund_id: UUID
    payment_id: UUID
    payer: str
    """Empty when that payment was never requested."""
    purpose: str = ""
    """The context that requested the payment."""
    amount: Won
    status: RefundStatus
    reason: str | None
    failure: str | None = None
    """Why the last attempt failed, or the code of the refusal; None when there was no failure."""
    requested_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class PaymentPart(Shape):
    """A payment as it is nested in other answers."""

    payment_id: UUID
    status: PaymentStatus
    amount: Won


class RefundPart(Shape):
    """A refund as it is nested in other answers."""

    refund_id: UUID
    status: RefundStatus
    amount: Won


class ChargeDeclined(Refused):
    """The payment provider has declined the charge, for `reason`."""

    code = "declined"
    status = 402
    ko = Words("결제가 거절되었습니다", "다른 결제 수단을 써 주세요.")
    en = Words("Charge declined", "Use another means of payment.")

    reason: str | None = "declined"


class ProviderUnavailable(Refused):
    """The payment provider did not answer in time; the payment is being voided."""

    code = "provider_unavailable"
    status = 503
    retry_after = 5
    ko = Words("결제사에서 응답이 없습니다", "결제를 취소하고 있습니다. 새 결제로 다시 시도해 주세요.")
    en = Words("Payment provider not available", "The payment is being voided. Try again with a new payment.")


class AlreadyVoided(Refused):
    code = "voided"
    ko = Words("취소된 결제입니다", "이미 취소된 결제로는 청구할 수 없습니다.")
    en = Words("Voided", "This payment has been voided and cannot be charged.")

    current_status: str = ""


class PaymentMismatch(Refused):
    """The id belongs to a payment of another payer or amount."""

    code = "payment_mismatch"
    ko = Words("다른 결제에 쓰인 번호입니다", "같은 번호로 다른 금액이나 회원을 청구할 수 없습니다.")
    en = Words("Payment id used before", "This id belongs to a payment of another payer or amount.")

    current_status: str


class RefundTooLarge(Refused):
    """`left` is what can still be refunded, in won."""

    code = "refund_too_large"
    ko = Words("환불할 수 있는 금액을 넘었습니다", "남은 금액까지만 환불할 수 있습니다.")
    en = Words("Refund too large", "No more than what is left can be refunded.")

    left: int
    current_status: str


class RefundThroughBusiness(Refused):
    """`business` counts on the payment for its `object_id`; the action at `href` gives the money back."""

    code = "refund_through_business"
    ko = Words("업무에서 취소해야 합니다", "이 결제로 산 것이 아직 유효합니다. href의 업무에서 취소하거나 돌려주세요.")
    en = Words("To be cancelled in its business", "What this pays for is still valid: give it back at href instead.")

    business: str
    object_id: str
    href: str


class PaymentUse(Shape):
    """What a payment pays for."""

    object_id: UUID
    href: str
    """The path of the action that gives the money back."""


class RequestPayment(Command[PaymentState]):
    """Charge a card once; a repetition with the same payment id gets the same answer."""

    topic = "payments.request_payment"
    refusals = (ChargeDeclined, ProviderUnavailable, AlreadyVoided, PaymentMismatch, StillRunning)

    payment_id: UUID
    payer: MemberId
    amount: Won
    method: Card
    purpose: str
    use: PaymentUse | None = None
    """What the requester counts on from the charge on; None for what may be refunded by hand at any time."""


class UsePayment(Command[None]):
    """The business counts on the payment for this; ignored once it has let go of it."""

    topic = "payments.use_payment"

    payment_id: UUID
    use: PaymentUse


class LetGoOfPayment(Command[None]):
    """The business does not count on the payment any more, and never will."""

    topic = "payments.let_go_of_payment"

    payment_id: UUID


class VoidPayment(Command[None]):
    """Void a payment in any state. If it is unknown, a tombstone is written: a later request is refused (`voided`)."""

    topic = "payments.void_payment"

    payment_id: UUID


class RefundRest(Command[None]):
    """Refund what is captured and not yet refunded; `refund_id` makes the command idempotent.

    It ends in `RefundSucceeded`, with amount 0 if the payment is not approved (any more) or has nothing left. A payment
    without an outcome yet is undone by `VoidPayment` instead.
    """

    topic = "payments.refund_rest"

    payment_id: UUID
    refund_id: UUID
    reason: str


class RefundAmount(Command[None]):
    """Refund a part of a payment for the business that requested it; `refund_id` makes the command idempotent.

    It ends in `RefundSucceeded`, or at once in `RefundRefused` if less than `amount` is left.
    """

    topic = "payments.refund_amount"

    payment_id: UUID
    refund_id: UUID
    amount: Annotated[Won, Field(gt=0)]
    reason: str


class RefundPayment(Command[RefundState]):
    """A manual refund of a part or of the rest; the refund has the id of this message.

    Refused (`wrong_state`) if nothing was captured, or the payment is being voided, and (`refund_through_business`)
    while a business counts on the payment.
    """

    topic = "payments.refund_payment"
    refusals = (NotFound, WrongState, RefundThroughBusiness, RefundTooLarge, StillRunning)

    payment_id: UUID
    amount: Annotated[Won, Field(gt=0)]
    reason: Reason
    caller: Caller


class DriveVoid(Command[None]):
    """Attempt to void the charge at the provider; payments schedules it for itself."""

    topic = "payments.drive_void"

    payment_id: UUID


class LookForCharge(Command[None]):
    """Void a charge that appeared at the provider after its payment was voided; payments schedules it for itself."""

    topic = "payments.look_for_charge"

    payment_id: UUID


class DriveRefund(Command[None]):
    """Attempt the refund at the provider; payments schedules it for itself."""

    topic = "payments.drive_refund"

    refund_id: UUID


class PaymentEvent(PaymentState, Event):
    """A change of a payment, with its state after the change."""

    about = "purpose"


class PaymentApproved(PaymentEvent):
    topic = "payments.payment_approved"


class PaymentDeclined(PaymentEvent):
    topic = "payments.payment_declined"


class PaymentVoiding(PaymentEvent):
    """The provider did not reply, or a void was requested: a charge is searched for and voided."""

    topic = "payments.payment_voiding"


class PaymentVoided(PaymentEvent):
    """Nothing of this payment is captured; a payment that was DECLINED or REFUNDED keeps that status."""

    topic = "payments.payment_voided"


class PaymentRefunded(PaymentEvent):
    """A refund has succeeded; the payment is PARTIALLY_REFUNDED or REFUNDED."""

    topic = "payments.payment_refunded"


class RefundEvent(RefundState, Event):
    """A change of a refund, with its state after the change."""

    about = "purpose"


class RefundStarted(RefundEvent):
    topic = "payments.refund_started"


class RefundFailed(RefundEvent):
    """The provider did not refund; the attempt is repeated with growing delay, without limit."""

    topic = "payments.refund_failed"


class RefundSucceeded(RefundEvent):
    """The refund has succeeded; amount 0 means that there was nothing to refund."""

    topic = "payments.refund_succeeded"


class RefundRefused(RefundEvent):
    """Less than the amount is left of the payment; nothing was begun, and the refund id is used up."""

    topic = "payments.refund_refused"


class ShowPayment(Query[PaymentState]):
    topic = "payments.show_payment"
    refusals = (NotFound,)

    payment_id: UUID
    caller: Caller


class ListPayments(Query[Page[PaymentState]]):
    topic = "payments.list_payments"
    refusals = ()

    payer: str | None = None
    status: PaymentStatus | None = None
    purpose: str | None = None
    limit: int = 50
    cursor: str | None = None


class ShowRefund(Query[RefundState]):
    topic = "payments.show_refund"
    refusals = (NotFound,)

    refund_id: UUID
    caller: Caller


class ListRefunds(Query[Page[RefundState]]):
    topic = "payments.list_refunds"
    refusals = ()

    payer: str | None = None
    status: RefundStatus | None = None
    payment_id: UUID | None = None
    limit: int = 50
    cursor: str | None = None
