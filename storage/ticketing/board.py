"""Ticketing: the board, a view of the events of tickets, pricing and reservations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import Caller, TimelineEntry
from contracts.ticketing.board import Board, BoardEntry, BoardItem, ListBoard, ReservationPart, ShowBoard
from contracts.ticketing.pricing import Grade, Price
from storage import paging
from storage.views import Instant, MemberText, ViewTables, newest_first, same_key


class PriceDocument(sa.TypeDecorator[Price]):
    """A price with its lines, stored as JSON."""

    impl = sa.JSON().with_variant(JSONB(), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: Price | None, dialect: Any) -> Any:
        return None if value is None else value.model_dump(mode="json")

    def process_result_value(self, value: Any, dialect: Any) -> Price | None:
        return None if value is None else Price.model_validate(value)


tables = ViewTables("ticketing_board")

tickets = tables.projection(
    "tickets",
    "ticket_id",
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("starts_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("base_price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("reservation_id", sa.Uuid),
    sa.Column("registered_by", MemberText, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("modified_at", Instant, nullable=False),
    sa.Index("tickets_newest", "generation", "created_at", "ticket_id"),
)
prices = tables.projection(
    "prices",
    "price_id",
    sa.Column("ticket_id", sa.Uuid, nullable=False),
    sa.Column("standard", PriceDocument, nullable=False),
    sa.Column("vip", PriceDocument, nullable=False),
    sa.Index("prices_of_ticket", "generation", "ticket_id"),
)
reservations = tables.projection(
    "reservations",
    "reservation_id",
    sa.Column("ticket_id", sa.Uuid, nullable=False),
    sa.Column("member_id", MemberText, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("price", PriceDocument, nullable=False),
    sa.Index("reservations_of_ticket", "generation", "ticket_id"),
)
frozen_prices = tables.projection(
    "frozen_prices",
    "frozen_price_id",
    sa.Column("reservation_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Index("frozen_prices_of_reservation", "generation", "reservation_id"),
)


_SELECT = (
    sa.select(
        tickets,
        prices.c.price_id,
        prices.c.standard,
        prices.c.vip,
        reservations.c.member_id,
        reservations.c.status.label("reservation_status"),
        reservations.c.price.label("reserved_at"),
    )
    .select_from(
        tickets.outerjoin(prices, same_key(tickets, prices, "ticket_id")).outerjoin(
            reservations, same_key(tickets, reservations, "reservation_id")
        )
    )
    .where(tickets.c.generation == tables.current())
)
_ONE = _SELECT.where(tickets.c.ticket_id == sa.bindparam("id"))
_RESERVATIONS = sa.select(reservations.c.reservation_id).where(
    reservations.c.generation == tables.current(), reservations.c.ticket_id == sa.bindparam("id")
)
_FROZEN = sa.select(frozen_prices.c.frozen_price_id).where(
    frozen_prices.c.generation == tables.current(),
    frozen_prices.c.reservation_id.in_(sa.bindparam("ids", expanding=True)),
)


async def newest(connection: AsyncConnection, query: ListBoard) -> Board:
    """A page of tickets, newest first."""
    select = newest_first(_SELECT, tickets, "ticket_id", query)
    rows = (await connection.execute(select)).mappings().all()
    items, cursor = paging.page(
        rows, query.limit, lambda row: _item(row, query.caller), lambda item: (item.created_at, item.ticket_id)
    )
    return Board(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, query: ShowBoard) -> BoardEntry | None:
    """One ticket with its timeline; None when the view has no such ticket."""
    row = (await connection.execute(_ONE, {"id": query.ticket_id})).mappings().one_or_none()
    if row is None:
        return None
    return BoardEntry(
        **_item(row, query.caller).__dict__,
        as_of=datetime.now(UTC),
        timeline=await _timeline(connection, row, query.caller),
    )


async def _timeline(connection: AsyncConnection, row: Any, caller: Caller) -> list[TimelineEntry]:
    """The timeline of a ticket, its price, and those of its reservations that the caller may see."""
    ticket_id: UUID = row["ticket_id"]
    select = _RESERVATIONS if caller.is_staff else _RESERVATIONS.where(reservations.c.member_id == caller.member_id)
    reserved = list((await connection.execute(select, {"id": ticket_id})).scalars())
    frozen = list((await connection.execute(_FROZEN, {"ids": reserved})).scalars()) if reserved else []
    return await tables.timeline_entries(connection, [ticket_id, row["price_id"], *reserved, *frozen])


def _item(row: Any, caller: Caller) -> BoardItem:
    holder, status = row["member_id"], row["reservation_status"]
    is_shown = holder is not None and caller.may_see(holder)
    reservation = None
    if status is not None:
        reservation = ReservationPart(
            reservation_id=row["reservation_id"] if is_shown else None,
            member_id=holder if is_shown else None,
            status=status,
        )
    of_grade = row["vip"] if caller.grade == Grade.VIP else row["standard"]
    fields = {name: row[name] for name in BoardItem.model_fields if name not in ("price", "reservation")}
    return BoardItem(**fields, price=row["reserved_at"] if is_shown else of_grade, reservation=reservation)
