"""Bike sharing: the refusals of its contexts."""

from __future__ import annotations

from contracts.base import Refused, Words
from contracts.refusals import DeclinedPayment, NotFound, PaymentUnavailable


class CodeTaken(Refused):
    code = "code_taken"
    ko = Words("이미 쓰이는 코드입니다", "다른 코드를 써 주세요.")
    en = Words("Code taken", "Another bike has this code.")


class BikeBroken(Refused):
    code = "bike_broken"
    ko = Words("고장 난 자전거입니다", "다른 자전거를 골라 주세요.")
    en = Words("Bike broken", "Choose another bike.")

    current_status: str


class BikeNotAvailable(Refused):
    code = "bike_not_available"
    ko = Words("다른 사람이 타고 있는 자전거입니다", "다른 자전거를 골라 주세요.")
    en = Words("Bike not available", "Somebody else has this bike; choose another.")

    current_status: str


class HoldAlreadyReleased(Refused):
    """`ReleaseBike` of the ride arrived first: it never holds a bike."""

    code = "hold_released"
    ko = Words("이미 끝난 대여입니다", "이 대여는 자전거를 잡을 수 없습니다.")
    en = Words("Hold released", "This ride has ended and holds no bike.")


class BikeUnavailable(Refused):
    """Bikes did not reply in time; the ride is NOT_STARTED."""

    code = "bike_unavailable"
    status = 503
    retry_after = 5
    ko = Words("자전거를 확인할 수 없습니다", "대여를 시작하지 않았습니다. 새 Idempotency-Key로 다시 시도해 주세요.")
    en = Words("Bikes not available", "No ride was started. Try again with a new Idempotency-Key.")

    ride_id: str
    current_status: str
    reason: str | None = None


class RideBikeBroken(BikeBroken):
    """The ride is NOT_STARTED; `current_status` is the ride's."""

    ride_id: str
    reason: str | None = None


class RideBikeNotAvailable(BikeNotAvailable):
    """The ride is NOT_STARTED; `current_status` is the ride's."""

    ride_id: str
    reason: str | None = None


class RideBikeNotFound(NotFound):
    """Bikes does not know the bike; the ride is NOT_STARTED. Without details rides does not know it either."""

    ride_id: str = ""
    current_status: str = ""
    reason: str | None = None


class RideOpen(Refused):
    code = "ride_open"
    ko = Words("이미 타고 있는 자전거가 있습니다", "타고 있는 자전거를 반납한 뒤에 다시 빌릴 수 있습니다.")
    en = Words("A ride is open", "Return the bike that you have before taking another.")


class DebtOwed(Refused):
    """The member owes `debt`, in won."""

    code = "debt_owed"
    ko = Words("내지 않은 이용료가 있습니다", "예치금을 충전해 밀린 이용료를 낸 뒤에 빌릴 수 있습니다.")
    en = Words("A fee is owed", "Top up your deposit to pay what is owed before riding again.")

    debt: int


class DepositTooLow(Refused):
    """The member's `balance` is below the `minimum`, both in won."""

    code = "deposit_too_low"
    ko = Words("예치금이 부족합니다", "예치금을 충전한 뒤에 빌릴 수 있습니다.")
    en = Words("Deposit too low", "Top up your deposit before riding.")

    balance: int
    minimum: int


class BalanceTooLow(Refused):
    """The member's `balance`, in won, is less than what is to be withdrawn."""

    code = "balance_too_low"
    ko = Words("예치금보다 많은 금액입니다", "잔액까지만 돌려받을 수 있습니다.")
    en = Words("More than the balance", "No more than the balance can be withdrawn.")

    balance: int


class TopUpDeclined(DeclinedPayment):
    """The top-up is REJECTED."""

    top_up_id: str
    current_status: str


class TopUpUnavailable(PaymentUnavailable):
    """The top-up is CANCELLED."""

    top_up_id: str
    current_status: str
