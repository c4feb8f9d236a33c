"""Bike sharing: the ride history, a view of the events of rides, bikes and billing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import Shape
from contracts.bike_sharing.ride_history import ListRideHistory, RideHistory, RideHistoryEntry, RideHistoryItem
from storage import paging
from storage.views import Instant, MemberText, ViewTables, newest_first, same_key


class ShapeDocument(sa.TypeDecorator[Any]):
    """A nested shape, stored as JSON."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(postgresql.JSONB() if dialect.name == "postgresql" else sa.JSON())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, Shape) else value


tables = ViewTables("bike_sharing_ride_history")

rides = tables.projection(
    "rides",
    "ride_id",
    sa.Column("bike_id", sa.Uuid, nullable=False),
    sa.Column("member_id", MemberText, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("fee_plan", ShapeDocument, nullable=False),
    sa.Column("start_location", sa.String(60)),
    sa.Column("location", sa.String(60)),
    sa.Column("started_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("minutes", sa.Integer),
    sa.Column("fee", sa.BigInteger),
    sa.Column("flagged", sa.Boolean, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("modified_at", Instant, nullable=False),
    sa.Index("rides_newest", "generation", "created_at", "ride_id"),
    sa.Index("rides_of_member", "generation", "member_id", "created_at", "ride_id"),
)
bikes = tables.projection(
    "bikes",
    "bike_id",
    sa.Column("code", sa.String(60), nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("location", sa.String(60), nullable=False),
)
bills = tables.projection(
    "bills",
    "bill_id",
    sa.Column("ride_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("amount", sa.BigInteger),
    sa.Column("paid", sa.BigInteger, nullable=False),
    sa.Column("owed", sa.BigInteger, nullable=False),
    sa.Column("balance_after", sa.BigInteger),
    sa.Index("bills_of_ride", "generation", "ride_id"),
)

_BIKE = {name: bikes.c[name].label(f"bike_{name}") for name in ("code", "status", "location")}
_BILL = {name: bills.c[name].label(f"bill_{name}") for name in ("bill_id", "status", "amount", "paid", "owed")}


_SELECT = (
    sa.select(rides, *_BIKE.values(), *_BILL.values(), bills.c.balance_after)
    .select_from(
        rides.outerjoin(bikes, same_key(rides, bikes, "bike_id")).outerjoin(bills, same_key(rides, bills, "ride_id"))
    )
    .where(rides.c.generation == tables.current())
)
_ONE = _SELECT.where(rides.c.ride_id == sa.bindparam("id"))


async def newest(connection: AsyncConnection, query: ListRideHistory) -> RideHistory:
    """A page of rides, newest first."""
    select = newest_first(_SELECT, rides, "ride_id", query)
    rows = (await connection.execute(select)).mappings().all()
    items, cursor = paging.page(rows, query.limit, _item, lambda item: (item.created_at, item.ride_id))
    return RideHistory(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, ride_id: UUID) -> RideHistoryEntry | None:
    """One ride with its timeline and that of its bill; None when the view has no such ride."""
    row = (await connection.execute(_ONE, {"id": ride_id})).mappings().one_or_none()
    if row is None:
        return None
    return RideHistoryEntry(
        **_item(row).__dict__,
        as_of=datetime.now(UTC),
        timeline=await tables.timeline_entries(connection, [ride_id, row["bill_bill_id"]]),
    )


def _item(row: Any) -> RideHistoryItem:
    bike = {name: row[f"bike_{name}"] for name in _BIKE} | {"bike_id": row["bike_id"]}
    bill = {name: row[f"bill_{name}"] for name in _BILL}
    return RideHistoryItem.model_validate(
        {
            **row,
            "bike": bike if bike["code"] is not None else None,
            "bill": bill if bill["bill_id"] is not None else None,
        }
    )
