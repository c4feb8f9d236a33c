"""Ticketing: the board, a view of tickets with price and reservation."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry
from contracts.refusals import NotFound
from contracts.ticketing.pricing import Price
from contracts.ticketing.reservations import ReservationStatus
from contracts.ticketing.tickets import Ticket, TicketStatus


class ReservationPart(Shape):
    """The reservation of a ticket; `reservation_id` and `member_id` are shown to its member and to staff only."""

    reservation_id: UUID | None
    member_id: str | None
    status: ReservationStatus


class BoardItem(Ticket):
    """A ticket with its price and its reservation.

    The price is that of the reservation if the caller may see the reservation, else the price for the caller's grade.
    """

    price: Price | None
    """None until the view has received a price of the ticket."""
    reservation: ReservationPart | None


class BoardEntry(BoardItem):
    """A ticket with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]
    """Changes of the ticket and its prices; those of reservations for their member and staff only."""


class Board(Shape):
    """One page of tickets; `as_of` is the time of reading."""

    items: list[BoardItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListBoard(Query[Board]):
    topic = "ticketing.board.list_board"
    refusals = ()

    status: TicketStatus | None = None
    caller: Caller
    limit: int = 50
    cursor: str | None = None


class ShowBoard(Query[BoardEntry]):
    """One ticket; waits up to one second until the view has applied its version `min_version`."""

    topic = "ticketing.board.show_board"
    refusals = (NotFound,)

    ticket_id: UUID
    min_version: int = 0
    caller: Caller
