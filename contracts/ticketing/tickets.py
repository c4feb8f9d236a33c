"""Ticketing: tickets, and which reservation holds which ticket.

RegisterTicket -> TicketRegistered
ChangeTicket   -> TicketChanged
TakeTicket     -> TicketTaken
FreeTicket     -> TicketFreed, HoldReleased    (HoldReleased alone when there was nothing to free)
CheckHold      -> SettleHold (reservations) -> ConfirmHold | FreeTicket
ExpireTicket   -> TicketExpired
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, ExpectedVersion, Name, Page, Query, Shape, Won
from contracts.refusals import NotFound, StaleVersion, WrongState
from contracts.ticketing.refusals import ExpiredTicket, TicketNotAvailable

Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]
"""A time between the years 2000 and 2200."""


class TicketStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    RESERVED = "RESERVED"
    EXPIRED = "EXPIRED"


class Ticket(Shape):
    """A ticket without its holder; `base_price` in won, valid from `starts_at` (inclusive) to `ends_at` (exclusive)."""

    ticket_id: UUID
    name: Name
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    base_price: Won
    status: TicketStatus
    registered_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class TicketState(Ticket):
    """A ticket with its holder, as other contexts see it."""

    reservation_id: UUID | None
    """The reservation that holds it; None unless it is RESERVED."""


class RegisterTicket(Command[Ticket]):
    """Register a ticket; refused (`invalid`) unless it ends after it starts, and in the future."""

    topic = "ticketing.tickets.register_ticket"
    refusals = ()

    name: Name
    starts_at: Moment
    ends_at: Moment
    base_price: Won
    caller: Caller


class ChangeTicket(Command[Ticket]):
    """Change the fields that are given; refused (`wrong_state`) unless the ticket is AVAILABLE."""

    topic = "ticketing.tickets.change_ticket"
    refusals = (NotFound, StaleVersion, WrongState)

    ticket_id: UUID
    name: Name | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    expected_version: ExpectedVersion | None = None


class TakeTicket(Command[TicketState]):
    """Hold an available ticket for a reservation."""

    topic = "ticketing.tickets.take_ticket"
    refusals = (NotFound, ExpiredTicket, TicketNotAvailable)

    ticket_id: UUID
    reservation_id: UUID


class ConfirmHold(Command[None]):
    """The reservation is valid: tickets stops asking for its status."""

    topic = "ticketing.tickets.confirm_hold"

    ticket_id: UUID
    reservation_id: UUID


class FreeTicket(Command[None]):
    """The reservation has ended: free its ticket. A later `TakeTicket` of this reservation is refused."""

    topic = "ticketing.tickets.free_ticket"

    ticket_id: UUID
    reservation_id: UUID


class CheckHold(Command[None]):
    """Ask reservations for the status of a hold that is not confirmed; tickets schedules it for itself."""

    topic = "ticketing.tickets.check_hold"

    ticket_id: UUID
    reservation_id: UUID


class ExpireTicket(Command[None]):
    """The ticket's end has passed, unless it was changed; tickets schedules it for itself."""

    topic = "ticketing.tickets.expire_ticket"

    ticket_id: UUID


class TicketEvent(TicketState, Event):
    """A change of a ticket, with its state after the change."""


class TicketRegistered(TicketEvent):
    topic = "ticketing.tickets.ticket_registered"


class TicketChanged(TicketEvent):
    topic = "ticketing.tickets.ticket_changed"


class TicketTaken(TicketEvent):
    """The ticket is held by `reservation_id`."""

    topic = "ticketing.tickets.ticket_taken"


class TicketFreed(TicketEvent):
    """The ticket is not held any more: AVAILABLE, or EXPIRED if its end has passed."""

    topic = "ticketing.tickets.ticket_freed"


class TicketExpired(TicketEvent):
    topic = "ticketing.tickets.ticket_expired"


class HoldReleased(Event):
    """The reservation holds no ticket. Published for each `FreeTicket`, even if nothing was held."""

    topic = "ticketing.tickets.hold_released"

    reservation_id: UUID
    ticket_id: UUID


class ShowTicket(Query[Ticket]):
    topic = "ticketing.tickets.show_ticket"
    refusals = (NotFound,)

    ticket_id: UUID


class ListTickets(Query[Page[Ticket]]):
    topic = "ticketing.tickets.list_tickets"
    refusals = ()

    status: TicketStatus | None = None
    limit: int = 50
    cursor: str | None = None
