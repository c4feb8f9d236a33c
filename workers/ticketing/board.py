"""Ticketing: the board answers while tickets, pricing and reservations are all down."""

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
from workers.runtime.processing.tx import Behind, NotKnownYet
from workers.runtime.projections.view import Copy, View

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
        Copy(store.tickets, "ticket_id", TICKET_EVENTS),
        Copy(store.prices, "price_id", (PriceAssigned,)),
        Copy(store.reservations, "reservation_id", RESERVATION_EVENTS),
        Copy(store.frozen_prices, "frozen_price_id", (PriceFrozen, PriceRestored)),
    ],
)


@board.on(ListBoard)
async def list_board(question: ListBoard, connection: AsyncConnection) -> Board:
    return await store.newest(connection, question)


@board.on(ShowBoard)
async def show_board(question: ShowBoard, connection: AsyncConnection) -> BoardEntry:
    entry = await store.find(connection, question)
    if entry is None:
        raise NotKnownYet
    if entry.version < question.min_version:
        raise Behind(entry)
    return entry
