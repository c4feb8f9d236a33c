"""Ticketing: the board, a view of the events of tickets, pricing and reservations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.ticketing.board import (
    ListBoard,
    ListBoardReservations,
    ReservationPart,
    ShowBoard,
    ShowBoardReservation,
)
from contracts.ticketing.pricing import FrozenPrice, Grade, PriceState
from contracts.ticketing.reservations import Reservation
from contracts.ticketing.tickets import TicketState
from storage.view_queries import Joined, ViewQueries
from storage.views import ViewTables

tables = ViewTables("ticketing_board")

tickets = tables.projection("tickets", TicketState, listed=True)
prices = tables.projection("prices", PriceState, "ticket_id", "standard", "vip", index=("ticket_id",))
reservations = tables.projection("reservations", Reservation, listed=True, index=("ticket_id",))
frozen_prices = tables.projection("frozen_prices", FrozenPrice, "reservation_id", "status", index=("reservation_id",))

_RESERVATIONS = sa.select(reservations.c.reservation_id).where(
    reservations.c.generation == tables.current(), reservations.c.ticket_id == sa.bindparam("id")
)
_FROZEN = sa.select(frozen_prices.c.frozen_price_id).where(
    frozen_prices.c.generation == tables.current(),
    frozen_prices.c.reservation_id.in_(sa.bindparam("ids", expanding=True)),
)


class TicketQueries(ViewQueries):
    """The queries about tickets: whose reservation and which price is shown depends on the caller."""

    def fields(self, row: sa.RowMapping, query: Any) -> dict[str, Any]:
        caller, holder, status = query.caller, row["member_id"], row["reservation_status"]
        is_shown = holder is not None and caller.may_see(holder)
        reservation = None
        if status is not None:
            reservation = ReservationPart(
                reservation_id=row["reservation_id"] if is_shown else None,
                member_id=holder if is_shown else None,
                status=status,
            )
        of_grade = row["vip"] if caller.grade == Grade.VIP else row["standard"]
        price = row["reserved_at"] if is_shown else of_grade
        return super().fields(row, query) | {"price": price, "reservation": reservation}

    async def subjects(self, connection: AsyncConnection, row: sa.RowMapping, query: Any) -> list[UUID | None]:
        """The ticket, its price, and those of its reservations that the caller may see."""
        caller, select = query.caller, _RESERVATIONS
        if not caller.is_staff:
            select = select.where(reservations.c.member_id == caller.member_id)
        reserved = list((await connection.execute(select, {"id": row["ticket_id"]})).scalars())
        frozen = list((await connection.execute(_FROZEN, {"ids": reserved})).scalars()) if reserved else []
        return [row["ticket_id"], row["price_id"], *reserved, *frozen]


ticket_queries = TicketQueries(
    tables,
    tickets,
    lists=ListBoard,
    shows=ShowBoard,
    joined=[
        Joined(prices, "ticket_id", columns=[prices.c.price_id, prices.c.standard, prices.c.vip]),
        Joined(
            reservations,
            "reservation_id",
            columns=[
                reservations.c.member_id,
                reservations.c.status.label("reservation_status"),
                reservations.c.price.label("reserved_at"),
            ],
        ),
    ],
)
reservation_queries = ViewQueries(
    tables,
    reservations,
    lists=ListBoardReservations,
    shows=ShowBoardReservation,
    joined=[
        Joined(tickets, "ticket_id", part="ticket"),
        Joined(frozen_prices, "reservation_id"),
    ],
    timeline=[frozen_prices.c.frozen_price_id],
)
