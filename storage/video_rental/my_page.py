"""Video rental: My Page, fed by the events of rentals, videos and payments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import TimelineEntry
from contracts.payments import PaymentPart, RefundPart
from contracts.video_rental.my_page import ListMyPage, MyPage, MyPageEntry, MyPageItem
from storage import paging
from storage.views import Instant, ViewTables, copy_table, generations_table, timeline_table

metadata = sa.MetaData()
generations_table(metadata)
timeline = timeline_table(metadata)

rentals = copy_table(
    metadata,
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
videos = copy_table(metadata, "videos", "video_id", sa.Column("title", sa.Text, nullable=False))
payments = copy_table(
    metadata,
    "payments",
    "payment_id",
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
)
refunds = copy_table(
    metadata,
    "refunds",
    "refund_id",
    sa.Column("payment_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("refunds_of_payment", "generation", "payment_id"),
)

tables = ViewTables(metadata, "video_rental_my_page")


def _select() -> sa.Select[Any]:
    return (
        sa.select(
            rentals,
            videos.c.title,
            payments.c.status.label("payment_status"),
            payments.c.amount.label("payment_amount"),
        )
        .select_from(
            rentals.outerjoin(
                videos, (videos.c.generation == rentals.c.generation) & (videos.c.video_id == rentals.c.video_id)
            ).outerjoin(
                payments,
                (payments.c.generation == rentals.c.generation) & (payments.c.payment_id == rentals.c.payment_id),
            )
        )
        .where(rentals.c.generation == tables.current())
    )


_PLACE = sa.tuple_(rentals.c.created_at, rentals.c.rental_id)
_NEWEST = _select().order_by(rentals.c.created_at.desc(), rentals.c.rental_id.desc())
_ONE = _select().where(rentals.c.rental_id == sa.bindparam("id"))
_REFUNDS = (
    sa.select(refunds)
    .where(refunds.c.generation == tables.current(), refunds.c.payment_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(refunds.c.created_at, refunds.c.refund_id)
)
_TIMELINE = (
    sa.select(timeline)
    .where(timeline.c.generation == tables.current(), timeline.c.subject.in_(sa.bindparam("ids", expanding=True)))
    .order_by(timeline.c.at, timeline.c.version, timeline.c.what)
)


async def newest(connection: AsyncConnection, question: ListMyPage) -> MyPage:
    """A page of rentals, newest first."""
    at, id = paging.decode(question.cursor)
    select = _NEWEST.limit(question.limit + 1)
    if question.member_id is not None:
        select = select.where(rentals.c.member_id == question.member_id)
    if question.status is not None:
        select = select.where(rentals.c.status == question.status)
    if at is not None:
        select = select.where(sa.tuple_(sa.literal(at, Instant), sa.literal(id, sa.Uuid)) > _PLACE)
    rows = (await connection.execute(select)).mappings().all()
    parts = await _refunds_of(connection, [row["payment_id"] for row in rows])
    items, cursor = paging.page(
        rows, question.limit, lambda row: _item(row, parts), lambda item: (item.created_at, item.rental_id)
    )
    return MyPage(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, rental_id: UUID) -> MyPageEntry | None:
    """One rental with its timeline."""
    row = (await connection.execute(_ONE, {"id": rental_id})).mappings().one_or_none()
    if row is None:
        return None
    parts = await _refunds_of(connection, [row["payment_id"]])
    subjects = [id for id in (row["rental_id"], row["payment_id"], row["late_fee_payment_id"]) if id]
    subjects += [refund.refund_id for refund in parts.values()]
    happened = (await connection.execute(_TIMELINE, {"ids": subjects})).mappings().all()
    return MyPageEntry(
        **_item(row, parts).__dict__,
        as_of=datetime.now(UTC),
        timeline=[
            TimelineEntry(at=_rfc3339(line["at"]), what=line["what"], status=line["status"], reason=line["reason"])
            for line in happened
        ],
    )


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def _refunds_of(connection: AsyncConnection, payment_ids: Sequence[UUID]) -> dict[UUID, RefundPart]:
    """The latest refund of each payment that has any."""
    if not payment_ids:
        return {}
    rows = (await connection.execute(_REFUNDS, {"ids": list(payment_ids)})).mappings().all()
    return {
        row["payment_id"]: RefundPart(refund_id=row["refund_id"], status=row["status"], amount=row["amount"])
        for row in rows
    }


def _item(row: Any, parts: dict[UUID, RefundPart]) -> MyPageItem:
    fields = dict(row)
    del fields["generation"]
    status, amount = fields.pop("payment_status"), fields.pop("payment_amount")
    payment_id = fields["payment_id"]
    payment = PaymentPart(payment_id=payment_id, status=status, amount=amount) if status else None
    return MyPageItem(**fields, payment=payment, refund=parts.get(payment_id))
