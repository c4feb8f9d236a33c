"""Phone pre-order: my reservations, fed by the events of reservations, products, payments and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.base import TimelineEntry
from contracts.payments import PaymentPart, RefundPart
from contracts.preorder.my_reservations import (
    ListMyReservations,
    MyReservation,
    MyReservationEntry,
    MyReservations,
)
from contracts.preorder.products import ProductPart
from contracts.preorder.receipts import ReceiptPart
from storage import paging
from storage.views import Instant, ViewTables, copy_table, generations_table, timeline_table

metadata = sa.MetaData()
generations_table(metadata)
timeline = timeline_table(metadata)

reservations = copy_table(
    metadata,
    "reservations",
    "reservation_id",
    sa.Column("product_id", sa.Uuid, nullable=False),
    sa.Column("member_id", sa.String(128), nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("payment_id", sa.Uuid, nullable=False),
    sa.Column("paid_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("modified_at", Instant, nullable=False),
    sa.Index("reservations_newest", "generation", "created_at", "reservation_id"),
    sa.Index("reservations_of_member", "generation", "member_id", "created_at", "reservation_id"),
)
products = copy_table(
    metadata,
    "products",
    "product_id",
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
)
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
receipts = copy_table(
    metadata,
    "receipts",
    "receipt_id",
    sa.Column("reservation_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("issued_at", Instant),
    sa.Column("expected_delivery", sa.Date),
    sa.Index("receipts_of_reservation", "generation", "reservation_id"),
)

tables = ViewTables(metadata, "preorder_my_reservations")


def _beside(table: sa.Table, key: str) -> Any:
    """What joins a table to the reservations of its generation."""
    return (table.c.generation == reservations.c.generation) & (table.c[key] == reservations.c[key])


_PARTS = [
    products.c.name.label("product_name"),
    products.c.price.label("product_price"),
    products.c.status.label("product_status"),
    payments.c.status.label("payment_status"),
    payments.c.amount.label("payment_amount"),
    receipts.c.receipt_id,
    receipts.c.status.label("receipt_status"),
    receipts.c.issued_at,
    receipts.c.expected_delivery,
]
_SELECT = (
    sa.select(reservations, *_PARTS)
    .select_from(
        reservations.outerjoin(products, _beside(products, "product_id"))
        .outerjoin(payments, _beside(payments, "payment_id"))
        .outerjoin(receipts, _beside(receipts, "reservation_id"))
    )
    .where(reservations.c.generation == tables.current())
)
_PLACE = sa.tuple_(reservations.c.created_at, reservations.c.reservation_id)
_NEWEST = _SELECT.order_by(reservations.c.created_at.desc(), reservations.c.reservation_id.desc())
_ONE = _SELECT.where(reservations.c.reservation_id == sa.bindparam("id"))
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


async def newest(connection: AsyncConnection, question: ListMyReservations) -> MyReservations:
    """A page of reservations, newest first."""
    at, id = paging.decode(question.cursor)
    select = _NEWEST.limit(question.limit + 1)
    if question.member_id is not None:
        select = select.where(reservations.c.member_id == question.member_id)
    if question.status is not None:
        select = select.where(reservations.c.status == question.status)
    if at is not None:
        select = select.where(sa.tuple_(sa.literal(at, Instant), sa.literal(id, sa.Uuid)) > _PLACE)
    rows = (await connection.execute(select)).mappings().all()
    parts = await _refunds_of(connection, [row["payment_id"] for row in rows])
    items, cursor = paging.page(
        rows, question.limit, lambda row: _item(row, parts), lambda item: (item.created_at, item.reservation_id)
    )
    return MyReservations(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, reservation_id: UUID) -> MyReservationEntry | None:
    """One reservation with its timeline."""
    row = (await connection.execute(_ONE, {"id": reservation_id})).mappings().one_or_none()
    if row is None:
        return None
    parts = await _refunds_of(connection, [row["payment_id"]])
    subjects = [id for id in (row["reservation_id"], row["payment_id"], row["receipt_id"]) if id]
    subjects += [refund.refund_id for refund in parts.values()]
    happened = (await connection.execute(_TIMELINE, {"ids": subjects})).mappings().all()
    return MyReservationEntry(
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


def _item(row: Any, parts: dict[UUID, RefundPart]) -> MyReservation:
    fields = {column.name: row[column.name] for column in reservations.columns if column.name != "generation"}
    return MyReservation(
        **fields,
        product=_product(row),
        payment=_payment(row),
        refund=parts.get(row["payment_id"]),
        receipt=_receipt(row),
    )


def _product(row: Any) -> ProductPart | None:
    if row["product_name"] is None:
        return None
    return ProductPart(
        product_id=row["product_id"], name=row["product_name"], price=row["product_price"], status=row["product_status"]
    )


def _payment(row: Any) -> PaymentPart | None:
    if row["payment_status"] is None:
        return None
    return PaymentPart(payment_id=row["payment_id"], status=row["payment_status"], amount=row["payment_amount"])


def _receipt(row: Any) -> ReceiptPart | None:
    if row["receipt_id"] is None:
        return None
    return ReceiptPart(
        receipt_id=row["receipt_id"],
        status=row["receipt_status"],
        issued_at=row["issued_at"],
        expected_delivery=row["expected_delivery"],
    )
