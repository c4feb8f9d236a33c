"""Ticketing: the board, a view that answers even when tickets, pricing and reservations are down."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.ticketing.board import Board, BoardEntry, ListBoard, ShowBoard
from contracts.ticketing.pricing import PriceAssigned, PriceFrozen, PriceRestored
from contracts.ticketing.reservations import (
    ReservationCancelled,
    ReservationCancelling,
    ReservationRejected,
    ReservationStarted,
    TicketReserved,
)
from contracts.ticketing.tickets import TicketChanged, TicketExpired, TicketFreed, TicketRegistered, TicketTaken
from storage.ticketing import board as store
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.projections.view import Projection, View

TICKET_EVENTS = (TicketRegistered, TicketChanged, TicketTaken, TicketFreed, TicketExpired)
RESERVATION_EVENTS = (
    ReservationStarted,
    TicketReserved,
    ReservationRejected,
    ReservationCancelling,
    ReservationCancelled,
)

worker = board = View(
    "ticketing.board",
    store.tables,
    [
        Projection(store.tickets, "ticket_id", TICKET_EVENTS),
        Projection(store.prices, "price_id", (PriceAssigned,)),
        Projection(store.reservations, "reservation_id", RESERVATION_EVENTS),
        Projection(store.frozen_prices, "frozen_price_id", (PriceFrozen, PriceRestored)),
    ],
)


@board.handles(ListBoard)
async def list_board(query: ListBoard, connection: AsyncConnection) -> Board:
    return await store.newest(connection, query)


@board.handles(ShowBoard)
async def show_board(query: ShowBoard, connection: AsyncConnection) -> BoardEntry:
    entry = await store.find(connection, query)
    if entry is None:
        raise RetryableNotFound
    if entry.version < query.min_version:
        raise StaleRead(entry)
    return entry
