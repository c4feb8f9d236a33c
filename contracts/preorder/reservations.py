"""Phone pre-order: what reservations can be told, and what they tell the system.

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

Address = Annotated[str, Field(min_length=1, max_length=500)]
"""Where the phone is to be sent: personal, and in no event."""


class ReservationStatus(StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"


class ReservationState(Shape):
    """A reservation as the system may know it; `price` in won, as it was when it was reserved."""

    reservation_id: UUID
    product_id: UUID
    member_id: MemberId
    price: Won
    status: ReservationStatus
    reason: str | None
    payment_id: UUID
    paid_at: AwareDatetime | None
    """When payments approved; None for what was never confirmed."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Reservation(ReservationState):
    """A reservation with the parts that belong to others, as its writer last heard of them."""

    payment: PaymentPart | None = None
    refund: RefundPart | None = None
    receipt: ReceiptPart | None = None


class ReservationWithAddress(Reservation):
    address: Address


class ReservePhone(Command[Reservation]):
    """A customer reserves a phone and pays now; the reservation takes the message's id."""

    topic = "preorder.reservations.reserve_phone"

    product_id: UUID
    address: Address
    payment: Card
    caller: Caller


class CancelReservation(Command[Reservation]):
    topic = "preorder.reservations.cancel_reservation"

    reservation_id: UUID
    reason: Reason | None = None
    caller: Caller


class ReservationEvent(ReservationState, Event):
    """What happened to a reservation, with its state afterwards."""


class ReservationStarted(ReservationEvent):
    topic = "preorder.reservations.reservation_started"


class ReservationConfirmed(ReservationEvent):
    """It is paid for: `paid_at` is known."""

    topic = "preorder.reservations.reservation_confirmed"


class ReservationRejected(ReservationEvent):
    topic = "preorder.reservations.reservation_rejected"


class ReservationCancelling(ReservationEvent):
    """Payment and receipt are being undone; the reservation still counts."""

    topic = "preorder.reservations.reservation_cancelling"


class ReservationCancelled(ReservationEvent):
    topic = "preorder.reservations.reservation_cancelled"


class ShowReservation(Query[ReservationWithAddress]):
    topic = "preorder.reservations.show_reservation"

    reservation_id: UUID
    caller: Caller


class ListReservations(Query[Page[ReservationWithAddress]]):
    topic = "preorder.reservations.list_reservations"

    member_id: str | None = None
    status: ReservationStatus | None = None
    limit: int = 50
    cursor: str | None = None


class Free(Shape):
    """How many of a model may still be reserved."""

    product_id: UUID
    free: int


class AllFree(Shape):
    """What is left of quotas; a model without one is not in it."""

    counts: list[Free]


class CountFree(Query[AllFree]):
    """What is left of some models' quotas, as reservations counts them."""

    topic = "preorder.reservations.count_free"

    product_ids: list[UUID]
