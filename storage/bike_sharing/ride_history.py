"""Bike sharing: ride history, fed by the events of rides, bikes and billing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import Shape, TimelineEntry
from contracts.bike_sharing.ride_history import ListRideHistory, RideHistory, RideHistoryEntry, RideHistoryItem
from storage import paging
from storage.views import Instant, ViewTables, copy_table, generations_table, timeline_table


class Document(sa.TypeDecorator[Any]):
    """A shape within a shape."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        return dialect.type_descriptor(postgresql.JSONB() if dialect.name == "postgresql" else sa.JSON())

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, Shape) else value


metadata = sa.MetaData()
generations_table(metadata)
timeline = timeline_table(metadata)

rides = copy_table(
    metadata,
    "rides",
    "ride_id",
    sa.Column("bike_id", sa.Uuid, nullable=False),
    sa.Column("member_id", sa.String(128), nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("fee_plan", Document, nullable=False),
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
bikes = copy_table(
    metadata,
    "bikes",
    "bike_id",
    sa.Column("code", sa.String(60), nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("location", sa.String(60), nullable=False),
)
bills = copy_table(
    metadata,
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

tables = ViewTables(metadata, "bike_sharing_ride_history")

_BIKE = {name: bikes.c[name].label(f"bike_{name}") for name in ("code", "status", "location")}
_BILL = {name: bills.c[name].label(f"bill_{name}") for name in ("bill_id", "status", "amount", "paid", "owed")}


def _select() -> sa.Select[Any]:
    same = rides.c.generation
    return (
        sa.select(rides, *_BIKE.values(), *_BILL.values(), bills.c.balance_after)
        .select_from(
            rides.outerjoin(bikes, (bikes.c.generation == same) & (bikes.c.bike_id == rides.c.bike_id)).outerjoin(
                bills, (bills.c.generation == same) & (bills.c.ride_id == rides.c.ride_id)
            )
        )
        .where(rides.c.generation == tables.current())
    )


_PLACE = sa.tuple_(rides.c.created_at, rides.c.ride_id)
_NEWEST = _select().order_by(rides.c.created_at.desc(), rides.c.ride_id.desc())
_ONE = _select().where(rides.c.ride_id == sa.bindparam("id"))
_TIMELINE = (
    sa.select(timeline)
    .where(timeline.c.generation == tables.current(), timeline.c.subject.in_(sa.bindparam("ids", expanding=True)))
    .order_by(timeline.c.at, timeline.c.version, timeline.c.what)
)


async def newest(connection: AsyncConnection, question: ListRideHistory) -> RideHistory:
    """A page of rides, newest first."""
    at, id = paging.decode(question.cursor)
    select = _NEWEST.limit(question.limit + 1)
    if question.member_id is not None:
        select = select.where(rides.c.member_id == question.member_id)
    if question.status is not None:
        select = select.where(rides.c.status == question.status)
    if at is not None:
        select = select.where(sa.tuple_(sa.literal(at, Instant), sa.literal(id, sa.Uuid)) > _PLACE)
    rows = (await connection.execute(select)).mappings().all()
    items, cursor = paging.page(rows, question.limit, _item, lambda item: (item.created_at, item.ride_id))
    return RideHistory(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, ride_id: UUID) -> RideHistoryEntry | None:
    """One ride with its timeline, and that of its bill."""
    row = (await connection.execute(_ONE, {"id": ride_id})).mappings().one_or_none()
    if row is None:
        return None
    subjects = [id for id in (row["ride_id"], row["bill_bill_id"]) if id]
    happened = (await connection.execute(_TIMELINE, {"ids": subjects})).mappings().all()
    return RideHistoryEntry(
        **_item(row).__dict__,
        as_of=datetime.now(UTC),
        timeline=[
            TimelineEntry(at=_rfc3339(line["at"]), what=line["what"], status=line["status"], reason=line["reason"])
            for line in happened
        ],
    )


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


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
