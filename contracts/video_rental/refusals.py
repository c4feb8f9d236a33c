"""Video rental: the refusals of its contexts."""

from __future__ import annotations

from contracts.base import Refused, Words
from contracts.refusals import DeclinedPayment, PaymentUnavailable, WrongState


class LateFeeOwed(Refused):
    code = "late_fee_owed"
    ko = Words("내지 않은 연체료가 있습니다", "연체료를 낸 뒤에 예약할 수 있습니다.")
    en = Words("A late fee is owed", "Pay the late fee before booking again.")


class AlreadyBooked(Refused):
    code = "already_booked"
    ko = Words("이미 예약한 비디오입니다", "같은 비디오는 한 번에 하나만 예약할 수 있습니다.")
    en = Words("Already booked", "You already have a booking of this video.")


class VideoNotAvailable(Refused):
    code = "video_not_available"
    ko = Words("지금 빌릴 수 없는 비디오입니다", "남은 비디오가 없거나 더 이상 빌려주지 않습니다.")
    en = Words("Video not available", "No copy is free, or the video is no longer lent.")


class BookingDeclined(DeclinedPayment):
    """The rental is REJECTED."""

    rental_id: str
    current_status: str


class BookingPaymentUnavailable(PaymentUnavailable):
    """The rental is CANCELLED."""

    rental_id: str
    current_status: str


class LateFeeWrongState(WrongState):
    late_fee_status: str


class LateFeeDeclined(DeclinedPayment):
    """The late fee is OWED again."""

    rental_id: str
    late_fee_status: str


class LateFeePaymentUnavailable(PaymentUnavailable):
    """The late fee is OWED again; without `late_fee_status` another payment has changed it since."""

    rental_id: str
    late_fee_status: str = ""
