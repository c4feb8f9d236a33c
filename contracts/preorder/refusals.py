"""Phone pre-order: the refusals of its contexts."""

from __future__ import annotations

from contracts.base import Refused, Words
from contracts.refusals import DeclinedPayment, PaymentUnavailable


class Closed(Refused):
    code = "closed"
    ko = Words("예약을 받지 않는 상품입니다", "이 상품은 지금 사전예약을 받지 않습니다.")
    en = Words("Closed", "This product is not open for reservations.")


class AlreadyReserved(Refused):
    code = "already_reserved"
    ko = Words("이미 예약한 상품입니다", "같은 상품은 한 번에 하나만 예약할 수 있습니다.")
    en = Words("Already reserved", "You already have an active reservation of this product.")


class QuotaFull(Refused):
    code = "quota_full"
    ko = Words("예약이 모두 찼습니다", "준비된 수량이 모두 예약되었습니다.")
    en = Words("Fully reserved", "Every one that is on offer is reserved.")


class CancelledMeanwhile(Refused):
    """The reservation was cancelled before its payment was settled."""

    code = "cancelled"
    ko = Words("결제하는 동안 취소되었습니다", "취소되어 예약하지 않았고 받은 돈은 돌려드립니다.")
    en = Words("Cancelled meanwhile", "This was cancelled before the payment came; no money is kept.")

    reservation_id: str
    current_status: str
    reason: str | None = None


class ReservationDeclined(DeclinedPayment):
    """The reservation is REJECTED."""

    reservation_id: str
    current_status: str


class ReservationPaymentUnavailable(PaymentUnavailable):
    """The reservation is CANCELLED."""

    reservation_id: str
    current_status: str
