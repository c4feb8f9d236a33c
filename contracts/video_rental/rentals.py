"""Video rental: what it can be told, and what it tells the system.

BookVideo -> BookingStarted -> VideoBooked | BookingRejected | BookingCancelled
CancelBooking, PickUpVideo, ReturnVideo, PayLateFee, WaiveLateFee -> the event of each
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.payments import Card, PaymentPart, RefundPart
from contracts.video_rental.videos import VideoState, VideoStatus

Days = Annotated[int, Field(ge=1, le=365)]


class RentalStatus(StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    BOOKED = "BOOKED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    RENTED = "RENTED"
    RETURNED = "RETURNED"


class LateFeeStatus(StrEnum):
    NONE = "NONE"
    OWED = "OWED"
    PAYING = "PAYING"
    PAID = "PAID"
    WAIVED = "WAIVED"


class RentalState(Shape):
    """A rental as the system may know it; prices in won, instants in UTC."""

    rental_id: UUID
    video_id: UUID
    member_id: MemberId
    days: int
    daily_price: Won
    price: Won
    status: RentalStatus
    reason: str | None
    payment_id: UUID
    pickup_until: AwareDatetime | None
    picked_up_at: AwareDatetime | None
    due_at: AwareDatetime | None
    returned_at: AwareDatetime | None
    late_fee: Won
    late_fee_status: LateFeeStatus
    late_fee_payment_id: UUID | None
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Rental(RentalState):
    """A rental with the parts that belong to payments, as its writer last heard of them."""

    payment: PaymentPart | None = None
    refund: RefundPart | None = None


class VideoOnShelf(VideoState):
    """A catalogue entry with the copies that are free now; None when only the catalogue could be asked."""

    available: int | None = None


class BookVideo(Command[Rental]):
    """A customer wants a video for a few days and pays now; the rental takes the message's id."""

    topic = "video_rental.rentals.book_video"

    video_id: UUID
    days: Days = 1
    payment: Card
    caller: Caller


class CancelBooking(Command[Rental]):
    topic = "video_rental.rentals.cancel_booking"

    rental_id: UUID
    reason: Reason | None = None
    caller: Caller


class PickUpVideo(Command[Rental]):
    topic = "video_rental.rentals.pick_up_video"

    rental_id: UUID
    caller: Caller


class ReturnVideo(Command[Rental]):
    topic = "video_rental.rentals.return_video"

    rental_id: UUID
    caller: Caller


class PayLateFee(Command[Rental]):
    topic = "video_rental.rentals.pay_late_fee"

    rental_id: UUID
    payment: Card
    caller: Caller


class WaiveLateFee(Command[Rental]):
    topic = "video_rental.rentals.waive_late_fee"

    rental_id: UUID
    reason: Reason
    caller: Caller


class GiveUpBooking(Command[None]):
    """The time to pick up is over."""

    topic = "video_rental.rentals.give_up_booking"

    rental_id: UUID


class RentalEvent(RentalState, Event):
    """What happened to a rental, with its state afterwards."""


class BookingStarted(RentalEvent):
    topic = "video_rental.rentals.booking_started"


class VideoBooked(RentalEvent):
    """The booking is paid for; the copy is held for this member."""

    topic = "video_rental.rentals.video_booked"


class BookingRejected(RentalEvent):
    topic = "video_rental.rentals.booking_rejected"


class BookingCancelled(RentalEvent):
    topic = "video_rental.rentals.booking_cancelled"


class VideoRented(RentalEvent):
    topic = "video_rental.rentals.video_rented"


class VideoReturned(RentalEvent):
    topic = "video_rental.rentals.video_returned"


class LateFeePaying(RentalEvent):
    """A payment of the late fee was begun, or came to nothing (`late_fee_status` OWED)."""

    topic = "video_rental.rentals.late_fee_paying"


class LateFeePaid(RentalEvent):
    topic = "video_rental.rentals.late_fee_paid"


class LateFeeWaived(RentalEvent):
    topic = "video_rental.rentals.late_fee_waived"


class ShowRental(Query[Rental]):
    topic = "video_rental.rentals.show_rental"

    rental_id: UUID
    caller: Caller


class ListRentals(Query[Page[Rental]]):
    topic = "video_rental.rentals.list_rentals"

    member_id: str | None = None
    status: RentalStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowShelf(Query[VideoOnShelf]):
    """One video with its free copies, as rentals counts them."""

    topic = "video_rental.rentals.show_shelf"

    video_id: UUID


class ListShelf(Query[Page[VideoOnShelf]]):
    topic = "video_rental.rentals.list_shelf"

    status: VideoStatus | None = None
    limit: int = 50
    cursor: str | None = None
