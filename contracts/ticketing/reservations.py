"""Ticketing: reservations.

ReserveTicket -> ReservationStarted -> TicketReserved | ReservationRejected
CancelReservation -> ReservationCancelling -> ReservationCancelled
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape
from contracts.ticketing.pricing import Price


class ReservationStatus(StrEnum):
    PENDING = "PENDING"
    RESERVED = "RESERVED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


class Reservation(Shape):
    """A member's wish for one ticket; its `price` is what was known when it began, for the grade of that moment."""

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
    """A member wants a ticket; the reservation takes the message's id."""

    topic = "ticketing.reservations.reserve_ticket"

    ticket_id: UUID
    caller: Caller


class CancelReservation(Command[Reservation]):
    """Accepted at once; CANCELLED once the ticket is free and the price restored."""

    topic = "ticketing.reservations.cancel_reservation"

    reservation_id: UUID
    reason: Reason | None = None
    caller: Caller


class SettleHold(Command[None]):
    """Does the reservation stand that holds this ticket? Answered with `ConfirmHold` or `FreeTicket`."""

    topic = "ticketing.reservations.settle_hold"

    reservation_id: UUID
    ticket_id: UUID


class ReservationEvent(Reservation, Event):
    """What happened to a reservation, with its state afterwards."""


class ReservationStarted(ReservationEvent):
    topic = "ticketing.reservations.reservation_started"


class TicketReserved(ReservationEvent):
    """The ticket is this member's, at this price."""

    topic = "ticketing.reservations.ticket_reserved"


class ReservationRejected(ReservationEvent):
    topic = "ticketing.reservations.reservation_rejected"


class ReservationCancelling(ReservationEvent):
    topic = "ticketing.reservations.reservation_cancelling"


class ReservationCancelled(ReservationEvent):
    """The ticket is free again, and its price restored."""

    topic = "ticketing.reservations.reservation_cancelled"


class ShowReservation(Query[Reservation]):
    topic = "ticketing.reservations.show_reservation"

    reservation_id: UUID
    caller: Caller


class ListReservations(Query[Page[Reservation]]):
    topic = "ticketing.reservations.list_reservations"

    member_id: str | None = None
    status: ReservationStatus | None = None
    limit: int = 50
    cursor: str | None = None
