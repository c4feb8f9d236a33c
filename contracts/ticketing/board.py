"""Ticketing: the board, a view of tickets with price and reservation, and of reservations with their tickets."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry
from contracts.refusals import NotFound
from contracts.ticketing.pricing import Price
from contracts.ticketing.reservations import Reservation, ReservationStatus
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


class TicketPart(Shape):
    """A ticket as it is nested in a reservation."""

    ticket_id: UUID
    name: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    status: TicketStatus


class BoardReservation(Reservation):
    """A reservation, current or past, with its price and its ticket."""

    ticket: TicketPart | None
    """None until the view has received an event of the ticket."""


class BoardReservationEntry(BoardReservation):
    """A reservation with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]
    """Changes of the reservation and of its frozen price."""


class BoardReservations(Shape):
    """One page of reservations; `as_of` is the time of reading."""

    items: list[BoardReservation]
    next_cursor: str | None
    as_of: AwareDatetime


class ListBoardReservations(Query[BoardReservations]):
    """The reservations of a member, or of all when `member_id` is None, newest first."""

    topic = "ticketing.board.list_board_reservations"
    refusals = ()

    member_id: str | None = None
    status: ReservationStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowBoardReservation(Query[BoardReservationEntry]):
    """One reservation; waits up to one second until the view has applied its version `min_version`."""

    topic = "ticketing.board.show_board_reservation"
    refusals = (NotFound,)

    reservation_id: UUID
    min_version: int = 0
    caller: Caller
