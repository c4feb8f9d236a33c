"""Phone pre-order: reservations, paid for when they are made.

ReservePhone      -> ReservationStarted -> ReservationConfirmed | ReservationRejected | ReservationCancelled
CancelReservation -> ReservationCancelling -> ReservationCancelled
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.payments import Card, PaymentPart, RefundPart
from contracts.preorder.receipts import ReceiptPart
from contracts.preorder.refusals import (
    AlreadyReserved,
    CancelledMeanwhile,
    Closed,
    QuotaFull,
    ReservationDeclined,
    ReservationPaymentUnavailable,
)
from contracts.refusals import NotFound, PriceChanged, WrongState

Address = Annotated[str, Field(min_length=1, max_length=500)]
"""The delivery address; personal data that no event contains."""


class ReservationStatus(StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


class ReservationState(Shape):
    """The public state of a reservation; `price` is the price in won at the time of reservation."""

    reservation_id: UUID
    product_id: UUID
    member_id: MemberId
    price: Won
    status: ReservationStatus
    reason: str | None
    payment_id: UUID
    paid_at: AwareDatetime | None
    """When the payment was approved; None if the reservation was never confirmed."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Reservation(ReservationState):
    """A reservation with payment, refund and receipt, as of the last events that reservations has received."""

    payment: PaymentPart | None = None
    refund: RefundPart | None = None
    receipt: ReceiptPart | None = None


class ReservationWithAddress(Reservation):
    """A reservation with its delivery address."""

    address: Address


class ReservePhone(Command[Reservation]):
    """A customer reserves a phone and pays at once; the reservation has the id of this message."""

    topic = "preorder.reservations.reserve_phone"
    refusals = (
        NotFound,
        Closed,
        AlreadyReserved,
        QuotaFull,
        PriceChanged,
        ReservationDeclined,
        ReservationPaymentUnavailable,
        CancelledMeanwhile,
    )

    product_id: UUID
    expected_price: Won | None = None
    """What the caller was shown, for the whole of it, in won; refused (`price_changed`) if it costs another price."""
    address: Address
    payment: Card
    caller: Caller


class CancelReservation(Command[Reservation]):
    topic = "preorder.reservations.cancel_reservation"
    refusals = (NotFound, WrongState)

    reservation_id: UUID
    reason: Reason | None = None
    caller: Caller


class ReservationEvent(ReservationState, Event):
    """A change of a reservation, with its state after the change."""


class ReservationStarted(ReservationEvent):
    topic = "preorder.reservations.reservation_started"


class ReservationConfirmed(ReservationEvent):
    """The payment is approved; `paid_at` is set."""

    topic = "preorder.reservations.reservation_confirmed"


class ReservationRejected(ReservationEvent):
    topic = "preorder.reservations.reservation_rejected"


class ReservationCancelling(ReservationEvent):
    """Payment and receipt are being undone; the reservation still uses the quota."""

    topic = "preorder.reservations.reservation_cancelling"


class ReservationCancelled(ReservationEvent):
    topic = "preorder.reservations.reservation_cancelled"


class ShowReservation(Query[ReservationWithAddress]):
    topic = "preorder.reservations.show_reservation"
    refusals = (NotFound,)

    reservation_id: UUID
    caller: Caller


class ListReservations(Query[Page[ReservationWithAddress]]):
    topic = "preorder.reservations.list_reservations"
    refusals = ()

    member_id: str | None = None
    status: ReservationStatus | None = None
    limit: int = 50
    cursor: str | None = None


class FreeCount(Shape):
    """How many units of a model can still be reserved."""

    product_id: UUID
    free: int


class FreeCounts(Shape):
    """The rest of the quotas; models without a quota are left out."""

    counts: list[FreeCount]


class CountFree(Query[FreeCounts]):
    """The rest of some models' quotas."""

    topic = "preorder.reservations.count_free"
    refusals = ()

    product_ids: list[UUID]
