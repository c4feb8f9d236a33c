"""Payments: charge once, undo whatever became of it, give back what is left.

RequestPayment -> PaymentApproved | PaymentDeclined | PaymentVoiding -> PaymentVoided
VoidPayment    -> PaymentVoiding -> PaymentVoided         (at once when there was nothing to undo)
RefundRest     -> RefundStarted -> RefundSucceeded, PaymentRefunded   (RefundFailed between the tries)
               -> RefundSucceeded                         (amount 0: there was nothing left to give back)

A compensation ends in its event at each repetition. The event of a state that did not change carries that state's
version again: a view has it already, a saga that waits for the topic hears it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won


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


class Card(Shape):
    """A tokenised card; a card number is never accepted."""

    method: Literal["card"]
    token: Annotated[str, Field(pattern=r"^tok_[a-z0-9_]{1,64}$")]
    last4: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    brand: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class PaymentState(Shape):
    """A payment as the system may know it; `version` counts from 1 with the first outcome, and is 0 before it.

    A void that comes before its request leaves a VOIDED payment with no payer (`""`), no purpose and amount 0.
    """

    payment_id: UUID
    status: PaymentStatus
    payer: str
    amount: Won
    purpose: str
    """The context that asked for it, e.g. `video_rental.rentals`."""
    method: str
    last4: str | None
    brand: str | None
    captured: Won
    """What the provider took and did not void: `captured - refunded` is kept."""
    refunding: Won
    """Reserved for refunds that are not through."""
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
    """Empty when nobody has asked for that payment."""
    purpose: str = ""
    """The context that asked for the payment."""
    amount: Won
    status: RefundStatus
    reason: str | None
    failure: str | None = None
    """Why the last try came to nothing."""
    requested_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class PaymentPart(Shape):
    """A payment as it is nested in other things."""

    payment_id: UUID
    status: PaymentStatus
    amount: Won


class RefundPart(Shape):
    """A refund as it is nested in other things."""

    refund_id: UUID
    status: RefundStatus
    amount: Won


class RequestPayment(Command[PaymentState]):
    """Charge a card once. Asked again under the same id: the same answer.

    Refused with `declined` (and `reason`), `provider_unavailable` (the payment is being voided), `voided`,
    `payment_mismatch` (the id stands for another payer or amount) or `still_running` (another message asked for it).
    """

    topic = "payments.request_payment"

    payment_id: UUID
    payer: MemberId
    amount: Won
    method: Card
    purpose: str


class VoidPayment(Command[None]):
    """Undo whatever became of a payment; before the request it leaves a tombstone that declines it."""

    topic = "payments.void_payment"

    payment_id: UUID


class RefundRest(Command[None]):
    """Give back what is captured and not yet refunded; `refund_id` is its id for its whole life.

    It ends in `RefundSucceeded`, with amount 0 for a payment that is not approved (any more) or has nothing left: one
    that is still at work is for `VoidPayment` to undo.
    """

    topic = "payments.refund_rest"

    payment_id: UUID
    refund_id: UUID
    reason: str


class RefundPayment(Command[RefundState]):
    """A refund by hand, of a part or of the rest; it takes the message's id as its own.

    Refused with `not_found`, `wrong_state` (nothing was captured, or it is being voided) or `refund_too_large` (and
    `left`).
    """

    topic = "payments.refund_payment"

    payment_id: UUID
    amount: Annotated[Won, Field(gt=0)]
    reason: Reason
    caller: Caller


class DriveVoid(Command[None]):
    """Try to end a void: payments tells itself."""

    topic = "payments.drive_void"

    payment_id: UUID


class LookForCharge(Command[None]):
    """See whether a charge turned up after its payment was voided, and void it: payments tells itself."""

    topic = "payments.look_for_charge"

    payment_id: UUID


class DriveRefund(Command[None]):
    """Try to end a refund: payments tells itself."""

    topic = "payments.drive_refund"

    refund_id: UUID


class PaymentEvent(PaymentState, Event):
    """What happened to a payment, with its state afterwards."""

    about = "purpose"


class PaymentApproved(PaymentEvent):
    topic = "payments.payment_approved"


class PaymentDeclined(PaymentEvent):
    topic = "payments.payment_declined"


class PaymentVoiding(PaymentEvent):
    """The provider was silent, or the buyer is gone: the charge is being looked for and undone."""

    topic = "payments.payment_voiding"


class PaymentVoided(PaymentEvent):
    """Nothing is kept of this payment; one that was DECLINED or REFUNDED before stays so."""

    topic = "payments.payment_voided"


class PaymentRefunded(PaymentEvent):
    """A refund is through; the payment is PARTIALLY_REFUNDED or REFUNDED."""

    topic = "payments.payment_refunded"


class RefundEvent(RefundState, Event):
    """What happened to a refund, with its state afterwards."""

    about = "purpose"


class RefundStarted(RefundEvent):
    topic = "payments.refund_started"


class RefundFailed(RefundEvent):
    """The provider failed; the refund is tried again with growing delay, without end."""

    topic = "payments.refund_failed"


class RefundSucceeded(RefundEvent):
    """The money is back; with amount 0 there was nothing left to give back."""

    topic = "payments.refund_succeeded"


class ShowPayment(Query[PaymentState]):
    topic = "payments.show_payment"

    payment_id: UUID
    caller: Caller


class ListPayments(Query[Page[PaymentState]]):
    topic = "payments.list_payments"

    payer: str | None = None
    status: PaymentStatus | None = None
    purpose: str | None = None
    limit: int = 50
    cursor: str | None = None


class ShowRefund(Query[RefundState]):
    topic = "payments.show_refund"

    refund_id: UUID
    caller: Caller


class ListRefunds(Query[Page[RefundState]]):
    topic = "payments.list_refunds"

    payer: str | None = None
    status: RefundStatus | None = None
    payment_id: UUID | None = None
    limit: int = 50
    cursor: str | None = None
