"""Ticketing: reservations of tickets.

ReserveTicket     -> ReservationStarted -> TicketReserved | ReservationRejected
CancelReservation -> ReservationCancelling -> ReservationCancelled
SettleHold        -> ConfirmHold | FreeTicket (tickets)
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.refusals import NotFound, PriceChanged, WrongState
from contracts.ticketing.pricing import Price
from contracts.ticketing.refusals import (
    NotPricedYet,
    ReservationTicketExpired,
    ReservationTicketNotAvailable,
    TicketUnavailable,
)


class ReservationStatus(StrEnum):
    PENDING = "PENDING"
    RESERVED = "RESERVED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class Reservation(Shape):
    """A member's reservation of one ticket; `price` is the price for the member's grade when it was started."""

    reservation_id: UUID
    ticket_id: UUID
    member_id: MemberId
    status: ReservationStatus
    reason: str | None
    price: Price
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class ReserveTicket(Command[Reservation]):
    """Reserve a ticket; the reservation has the id of this message."""

    topic = "ticketing.reservations.reserve_ticket"
    refusals = (
        NotFound,
        NotPricedYet,
        PriceChanged,
        ReservationTicketExpired,
        ReservationTicketNotAvailable,
        TicketUnavailable,
    )

    ticket_id: UUID
    expected_price: Won | None = None
    """What the caller was shown, for the whole of it, in won; refused (`price_changed`) if it costs another price."""
    caller: Caller


class CancelReservation(Command[Reservation]):
    """Start to cancel a reservation; it is CANCELLED once the ticket is free and the price is restored."""

    topic = "ticketing.reservations.cancel_reservation"
    refusals = (NotFound, WrongState)

    reservation_id: UUID
    reason: Reason | None = None
    caller: Caller


class SettleHold(Command[None]):
    """Tickets asks for the status of the reservation that holds a ticket; answered by `ConfirmHold` or `FreeTicket`."""

    topic = "ticketing.reservations.settle_hold"

    reservation_id: UUID
    ticket_id: UUID


class ReservationEvent(Reservation, Event):
    """A change of a reservation, with its state after the change."""


class ReservationStarted(ReservationEvent):
    topic = "ticketing.reservations.reservation_started"


class TicketReserved(ReservationEvent):
    """The member has the ticket, at `price`."""

    topic = "ticketing.reservations.ticket_reserved"


class ReservationRejected(ReservationEvent):
    topic = "ticketing.reservations.reservation_rejected"


class ReservationCancelling(ReservationEvent):
    topic = "ticketing.reservations.reservation_cancelling"


class ReservationCancelled(ReservationEvent):
    """The ticket is free again, and its price is restored."""

    topic = "ticketing.reservations.reservation_cancelled"


class ShowReservation(Query[Reservation]):
    topic = "ticketing.reservations.show_reservation"
    refusals = (NotFound,)

    reservation_id: UUID
    caller: Caller


class ListReservations(Query[Page[Reservation]]):
    topic = "ticketing.reservations.list_reservations"
    refusals = ()

    member_id: str | None = None
    status: ReservationStatus | None = None
    limit: int = 50
    cursor: str | None = None
