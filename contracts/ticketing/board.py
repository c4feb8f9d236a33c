"""Ticketing: the board, every ticket with its price and who holds it, in one read."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry
from contracts.ticketing.pricing import Price
from contracts.ticketing.reservations import ReservationStatus
from contracts.ticketing.tickets import Ticket, TicketStatus


class ReservationPart(Shape):
    """Who holds a ticket; `reservation_id` and `member_id` are None for everybody but the member and staff."""

    reservation_id: UUID | None
    member_id: str | None
    status: ReservationStatus


class BoardItem(Ticket):
    """A ticket with its price and its reservation.

    The price is the one that was reserved at, for those who may see the reservation; else that of the caller's grade.
    """

    price: Price | None
    """None until the view has heard of one."""
    reservation: ReservationPart | None


class BoardEntry(BoardItem):
    as_of: AwareDatetime
    timeline: list[TimelineEntry]
    """Of the ticket and its prices; of reservations only to the member and staff."""


class Board(Shape):
    items: list[BoardItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListBoard(Query[Board]):
    topic = "ticketing.board.list_board"

    status: TicketStatus | None = None
    caller: Caller
    limit: int = 50
    cursor: str | None = None


class ShowBoard(Query[BoardEntry]):
    """One ticket; waits up to a second until the view has seen `min_version` of it."""

    topic = "ticketing.board.show_board"

    ticket_id: UUID
    min_version: int = 0
    caller: Caller
