"""Ticketing: the refusals of its contexts."""

from __future__ import annotations

from contracts.base import Refused, Words


class NotPricedYet(Refused):
    code = "not_priced_yet"
    ko = Words("아직 가격이 정해지지 않았습니다", "잠시 뒤에 다시 시도해 주세요.")
    en = Words("Not priced yet", "Its price is not known yet; try again shortly.")


class ExpiredTicket(Refused):
    code = "ticket_expired"
    ko = Words("만료된 티켓입니다", "이용 기간이 끝난 티켓은 예약할 수 없습니다.")
    en = Words("Ticket expired", "The time of this ticket is over.")


class TicketNotAvailable(Refused):
    code = "ticket_not_available"
    ko = Words("예약할 수 없는 티켓입니다", "다른 회원이 먼저 예약했습니다.")
    en = Words("Ticket not available", "Somebody else has reserved this ticket.")


class TicketUnavailable(Refused):
    """Tickets did not reply in time; the reservation is REJECTED."""

    code = "ticket_unavailable"
    status = 503
    retry_after = 5
    ko = Words("티켓을 확인할 수 없습니다", "예약하지 않았습니다. 새 Idempotency-Key로 다시 시도해 주세요.")
    en = Words("Tickets not available", "Nothing was reserved. Try again with a new Idempotency-Key.")

    reservation_id: str
    current_status: str


class ReservationTicketExpired(ExpiredTicket):
    """The reservation is REJECTED."""

    reservation_id: str
    current_status: str


class ReservationTicketNotAvailable(TicketNotAvailable):
    """The reservation is REJECTED; without details it was not even started."""

    reservation_id: str = ""
    current_status: str = ""
