"""Ticketing: the board, a view that answers even when tickets, pricing and reservations are down."""

from __future__ import annotations

from storage.ticketing import board as store
from workers.runtime.projections.view import View

worker = board = View("ticketing.board", store.tables)
board.answers(store.ticket_queries)
board.answers(store.reservation_queries)
