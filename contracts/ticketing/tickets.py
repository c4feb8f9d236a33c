"""Ticketing: the tickets, who holds them, and what they tell the system.

RegisterTicket -> TicketRegistered, ChangeTicket -> TicketChanged
TakeTicket -> TicketTaken, FreeTicket -> TicketFreed, HoldReleased
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, Name, Page, Query, Shape, Won

Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]
"""An instant that a calendar of ours may hold."""


class TicketStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    RESERVED = "RESERVED"
    EXPIRED = "EXPIRED"


class Ticket(Shape):
    """A ticket as anybody may see it; `base_price` in won, valid from `starts_at` until just before `ends_at`."""

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
    """A ticket as the contexts know it."""

    reservation_id: UUID | None
    """Who holds it; None unless it is RESERVED."""


class RegisterTicket(Command[Ticket]):
    """Refused (`invalid`) unless it ends after it starts, and in the future."""

    topic = "ticketing.tickets.register_ticket"

    name: Name
    starts_at: Moment
    ends_at: Moment
    base_price: Won
    caller: Caller


class ChangeTicket(Command[Ticket]):
    """Change what is given; refused (`wrong_state`) unless the ticket is AVAILABLE."""

    topic = "ticketing.tickets.change_ticket"

    ticket_id: UUID
    name: Name | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None


class TakeTicket(Command[TicketState]):
    """Hold an available ticket for a reservation; refused: `ticket_expired`, `ticket_not_available`, `not_found`."""

    topic = "ticketing.tickets.take_ticket"

    ticket_id: UUID
    reservation_id: UUID


class ConfirmHold(Command[None]):
    """The reservation stands: its holder need not be asked again."""

    topic = "ticketing.tickets.confirm_hold"

    ticket_id: UUID
    reservation_id: UUID


class FreeTicket(Command[None]):
    """The reservation is over: whatever it holds is free, and it can take nothing from now on."""

    topic = "ticketing.tickets.free_ticket"

    ticket_id: UUID
    reservation_id: UUID


class CheckHold(Command[None]):
    """A hold that nobody has confirmed: its holder is asked."""

    topic = "ticketing.tickets.check_hold"

    ticket_id: UUID
    reservation_id: UUID


class ExpireTicket(Command[None]):
    """The ticket's end has come, unless it was moved."""

    topic = "ticketing.tickets.expire_ticket"

    ticket_id: UUID


class TicketEvent(TicketState, Event):
    """What happened to a ticket, with its state afterwards."""


class TicketRegistered(TicketEvent):
    topic = "ticketing.tickets.ticket_registered"


class TicketChanged(TicketEvent):
    topic = "ticketing.tickets.ticket_changed"


class TicketTaken(TicketEvent):
    """It is held for `reservation_id`."""

    topic = "ticketing.tickets.ticket_taken"


class TicketFreed(TicketEvent):
    """Nobody holds it any more: AVAILABLE, or EXPIRED when its end has come meanwhile."""

    topic = "ticketing.tickets.ticket_freed"


class TicketExpired(TicketEvent):
    topic = "ticketing.tickets.ticket_expired"


class HoldReleased(Event):
    """The answer to each `FreeTicket`, also when there was nothing to free: the reservation holds nothing."""

    topic = "ticketing.tickets.hold_released"

    reservation_id: UUID
    ticket_id: UUID


class ShowTicket(Query[Ticket]):
    topic = "ticketing.tickets.show_ticket"

    ticket_id: UUID


class ListTickets(Query[Page[Ticket]]):
    topic = "ticketing.tickets.list_tickets"

    status: TicketStatus | None = None
    limit: int = 50
    cursor: str | None = None
