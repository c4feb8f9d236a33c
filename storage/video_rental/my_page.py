"""Video rental: My Page, fed by the events of rentals, videos and payments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.payments import RefundPart
from contracts.video_rental.my_page import ListMyPage, MyPage, MyPageEntry, MyPageItem
from storage import paging
from storage.payment_copies import PaymentCopies
from storage.views import Instant, ViewTables, beside, newest_first

tables = ViewTables("video_rental_my_page")

rentals = tables.copy(
    "rentals",
    "rental_id",
    sa.Column("video_id", sa.Uuid, nullable=False),
    sa.Column("member_id", sa.String(128), nullable=False),
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
videos = tables.copy("videos", "video_id", sa.Column("title", sa.Text, nullable=False))
copies = PaymentCopies(tables)
payments, refunds = copies.payments, copies.refunds

_SELECT = (
    sa.select(rentals, videos.c.title, *copies.columns)
    .select_from(
        rentals.outerjoin(videos, beside(rentals, videos, "video_id")).outerjoin(
            payments, beside(rentals, payments, "payment_id")
        )
    )
    .where(rentals.c.generation == tables.current())
)
_ONE = _SELECT.where(rentals.c.rental_id == sa.bindparam("id"))


async def newest(connection: AsyncConnection, query: ListMyPage) -> MyPage:
    """A page of rentals, newest first."""
    select = newest_first(_SELECT, rentals, "rental_id", query)
    rows = (await connection.execute(select)).mappings().all()
    given_back = await copies.latest_refunds(connection, [row["payment_id"] for row in rows])
    items, cursor = paging.page(
        rows, query.limit, lambda row: _item(row, given_back), lambda item: (item.created_at, item.rental_id)
    )
    return MyPage(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, rental_id: UUID) -> MyPageEntry | None:
    """One rental with its timeline."""
    row = (await connection.execute(_ONE, {"id": rental_id})).mappings().one_or_none()
    if row is None:
        return None
    given_back = await copies.latest_refunds(connection, [row["payment_id"]])
    subjects = [rental_id, row["payment_id"], row["late_fee_payment_id"]]
    subjects += [refund.refund_id for refund in given_back.values()]
    return MyPageEntry(
        **_item(row, given_back).__dict__,
        as_of=datetime.now(UTC),
        timeline=await tables.happened(connection, subjects),
    )


def _item(row: Any, given_back: dict[UUID, RefundPart]) -> MyPageItem:
    fields = {name: row[name] for name in MyPageItem.model_fields if name not in ("payment", "refund")}
    return MyPageItem(**fields, payment=copies.part(row), refund=given_back.get(row["payment_id"]))
