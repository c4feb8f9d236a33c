"""Video rental: bookings of videos, pickup, return and late fees.

BookVideo     -> BookingStarted -> VideoBooked | BookingRejected | BookingCancelled
CancelBooking -> BookingCancelled
PickUpVideo   -> VideoRented
ReturnVideo   -> VideoReturned
PayLateFee    -> LateFeePaying -> LateFeePaid
WaiveLateFee  -> LateFeeWaived
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.payments import Card, PaymentPart, RefundPart
from contracts.refusals import NotFound, PriceChanged, WrongState
from contracts.video_rental.refusals import (
    AlreadyBooked,
    BookingDeclined,
    BookingPaymentUnavailable,
    LateFeeDeclined,
    LateFeeOwed,
    LateFeePaymentUnavailable,
    LateFeeWrongState,
    VideoNotAvailable,
)
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
    """The public state of a rental; prices in won, times in UTC."""

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
    """A rental with its payment and refund, as of the last events that rentals has received."""

    payment: PaymentPart | None = None
    refund: RefundPart | None = None


class VideoOnShelf(VideoState):
    """A video with the numbers of its copies; each is None if rentals did not reply and the catalogue answers."""

    available: int | None = None
    """Copies that can be booked; 0 for a retired video."""
    booked: int | None = None
    """Copies held for bookings that are being paid or wait for their pickup."""
    rented: int | None = None
    """Copies that members have at home."""


class BookVideo(Command[Rental]):
    """A customer books a video for some days and pays at once; the rental has the id of this message."""

    topic = "video_rental.rentals.book_video"
    refusals = (
        NotFound,
        LateFeeOwed,
        AlreadyBooked,
        VideoNotAvailable,
        PriceChanged,
        BookingDeclined,
        BookingPaymentUnavailable,
    )

    video_id: UUID
    days: Days = 1
    expected_price: Won | None = None
    """What the caller was shown, for the whole of it, in won; refused (`price_changed`) if it costs another price."""
    payment: Card
    caller: Caller


class CancelBooking(Command[Rental]):
    topic = "video_rental.rentals.cancel_booking"
    refusals = (NotFound, WrongState)

    rental_id: UUID
    reason: Reason | None = None
    caller: Caller


class PickUpVideo(Command[Rental]):
    topic = "video_rental.rentals.pick_up_video"
    refusals = (NotFound, WrongState)

    rental_id: UUID
    caller: Caller


class ReturnVideo(Command[Rental]):
    topic = "video_rental.rentals.return_video"
    refusals = (NotFound, WrongState)

    rental_id: UUID
    caller: Caller


class PayLateFee(Command[Rental]):
    topic = "video_rental.rentals.pay_late_fee"
    refusals = (NotFound, LateFeeWrongState, LateFeeDeclined, LateFeePaymentUnavailable)

    rental_id: UUID
    payment: Card
    caller: Caller


class WaiveLateFee(Command[Rental]):
    topic = "video_rental.rentals.waive_late_fee"
    refusals = (NotFound, LateFeeWrongState)

    rental_id: UUID
    reason: Reason
    caller: Caller


class GiveUpBooking(Command[None]):
    """The pickup period has ended; rentals schedules it for itself."""

    topic = "video_rental.rentals.give_up_booking"

    rental_id: UUID


class RentalEvent(RentalState, Event):
    """A change of a rental, with its state after the change."""


class BookingStarted(RentalEvent):
    topic = "video_rental.rentals.booking_started"


class VideoBooked(RentalEvent):
    """The booking is paid; a copy is held for the member."""

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
    """A payment of the late fee has started, or has failed (`late_fee_status` OWED)."""

    topic = "video_rental.rentals.late_fee_paying"


class LateFeePaid(RentalEvent):
    topic = "video_rental.rentals.late_fee_paid"


class LateFeeWaived(RentalEvent):
    topic = "video_rental.rentals.late_fee_waived"


class ShowRental(Query[Rental]):
    topic = "video_rental.rentals.show_rental"
    refusals = (NotFound,)

    rental_id: UUID
    caller: Caller


class ListRentals(Query[Page[Rental]]):
    topic = "video_rental.rentals.list_rentals"
    refusals = ()

    member_id: str | None = None
    video_id: UUID | None = None
    status: RentalStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowShelf(Query[VideoOnShelf]):
    """One video with the numbers of its free, booked and rented copies."""

    topic = "video_rental.rentals.show_shelf"
    refusals = (NotFound,)

    video_id: UUID


class ListShelf(Query[Page[VideoOnShelf]]):
    topic = "video_rental.rentals.list_shelf"
    refusals = ()

    status: VideoStatus | None = None
    limit: int = 50
    cursor: str | None = None
