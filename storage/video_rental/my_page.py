"""Video rental: My Page, a view of the events of rentals, videos and payments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.payments import RefundPart
from contracts.video_rental.my_page import ListMyPage, MyPage, MyPageEntry, MyPageItem
from storage import paging
from storage.payment_projections import PaymentProjections
from storage.views import Instant, MemberText, ViewTables, newest_first, same_key

tables = ViewTables("video_rental_my_page")

rentals = tables.projection(
    "rentals",
    "rental_id",
    sa.Column("video_id", sa.Uuid, nullable=False),
    sa.Column("member_id", MemberText, nullable=False),
    sa.Column("days", sa.Integer, nullable=False),
    sa.Column("daily_price", sa.BigInteger, nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("payment_id", sa.Uuid, nullable=False),
    sa.Column("pickup_until", Instant),
    sa.Column("picked_up_at", Instant),
    sa.Column("due_at", Instant),
    sa.Column("returned_at", Instant),
    sa.Column("late_fee", sa.BigInteger, nullable=False),
    sa.Column("late_fee_status", sa.String(40), nullable=False),
    sa.Column("late_fee_payment_id", sa.Uuid),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("modified_at", Instant, nullable=False),
    sa.Index("rentals_newest", "generation", "created_at", "rental_id"),
    sa.Index("rentals_of_member", "generation", "member_id", "created_at", "rental_id"),
)
videos = tables.projection("videos", "video_id", sa.Column("title", sa.Text, nullable=False))
payment_projections = PaymentProjections(tables)
payments, refunds = payment_projections.payments, payment_projections.refunds

_SELECT = (
    sa.select(rentals, videos.c.title, *payment_projections.columns)
    .select_from(
        rentals.outerjoin(videos, same_key(rentals, videos, "video_id")).outerjoin(
            payments, same_key(rentals, payments, "payment_id")
        )
    )
    .where(rentals.c.generation == tables.current())
)
_ONE = _SELECT.where(rentals.c.rental_id == sa.bindparam("id"))


async def newest(connection: AsyncConnection, query: ListMyPage) -> MyPage:
    """A page of rentals, newest first."""
    select = newest_first(_SELECT, rentals, "rental_id", query)
    rows = (await connection.execute(select)).mappings().all()
    latest_refunds = await payment_projections.latest_refunds(connection, [row["payment_id"] for row in rows])
    items, cursor = paging.page(
        rows, query.limit, lambda row: _item(row, latest_refunds), lambda item: (item.created_at, item.rental_id)
    )
    return MyPage(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, rental_id: UUID) -> MyPageEntry | None:
    """One rental with its timeline; None when the view has no such rental."""
    row = (await connection.execute(_ONE, {"id": rental_id})).mappings().one_or_none()
    if row is None:
        return None
    latest_refunds = await payment_projections.latest_refunds(connection, [row["payment_id"]])
    subjects = [rental_id, row["payment_id"], row["late_fee_payment_id"]]
    subjects += [refund.refund_id for refund in latest_refunds.values()]
    return MyPageEntry(
        **_item(row, latest_refunds).__dict__,
        as_of=datetime.now(UTC),
        timeline=await tables.timeline_entries(connection, subjects),
    )


def _item(row: Any, latest_refunds: dict[UUID, RefundPart]) -> MyPageItem:
    fields = {name: row[name] for name in MyPageItem.model_fields if name not in ("payment", "refund")}
    return MyPageItem(**fields, payment=payment_projections.part(row), refund=latest_refunds.get(row["payment_id"]))
