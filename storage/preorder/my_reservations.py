"""Phone pre-order: my reservations, a view of the events of reservations, products, payments and receipts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.payments import RefundPart
from contracts.preorder.my_reservations import (
    ListMyReservations,
    MyReservation,
    MyReservationEntry,
    MyReservations,
)
from contracts.preorder.products import ProductPart
from contracts.preorder.receipts import ReceiptPart
from storage import paging
from storage.payment_projections import PaymentProjections
from storage.views import Instant, MemberText, ViewTables, newest_first, same_key

tables = ViewTables("preorder_my_reservations")

reservations = tables.projection(
    "reservations",
    "reservation_id",
    sa.Column("product_id", sa.Uuid, nullable=False),
    sa.Column("member_id", MemberText, nullable=False),
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
products = tables.projection(
    "products",
    "product_id",
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
)
payment_projections = PaymentProjections(tables)
payments, refunds = payment_projections.payments, payment_projections.refunds
receipts = tables.projection(
    "receipts",
    "receipt_id",
    sa.Column("reservation_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("issued_at", Instant),
    sa.Column("expected_delivery", sa.Date),
    sa.Index("receipts_of_reservation", "generation", "reservation_id"),
)


_PARTS = [
    products.c.name.label("product_name"),
    products.c.price.label("product_price"),
    products.c.status.label("product_status"),
    *payment_projections.columns,
    receipts.c.receipt_id,
    receipts.c.status.label("receipt_status"),
    receipts.c.issued_at,
    receipts.c.expected_delivery,
]
_SELECT = (
    sa.select(reservations, *_PARTS)
    .select_from(
        reservations.outerjoin(products, same_key(reservations, products, "product_id"))
        .outerjoin(payments, same_key(reservations, payments, "payment_id"))
        .outerjoin(receipts, same_key(reservations, receipts, "reservation_id"))
    )
    .where(reservations.c.generation == tables.current())
)
_ONE = _SELECT.where(reservations.c.reservation_id == sa.bindparam("id"))


async def newest(connection: AsyncConnection, query: ListMyReservations) -> MyReservations:
    """A page of reservations, newest first."""
    select = newest_first(_SELECT, reservations, "reservation_id", query)
    rows = (await connection.execute(select)).mappings().all()
    latest_refunds = await payment_projections.latest_refunds(connection, [row["payment_id"] for row in rows])
    items, cursor = paging.page(
        rows, query.limit, lambda row: _item(row, latest_refunds), lambda item: (item.created_at, item.reservation_id)
    )
    return MyReservations(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, reservation_id: UUID) -> MyReservationEntry | None:
    """One reservation with its timeline; None when the view has no such reservation."""
    row = (await connection.execute(_ONE, {"id": reservation_id})).mappings().one_or_none()
    if row is None:
        return None
    latest_refunds = await payment_projections.latest_refunds(connection, [row["payment_id"]])
    subjects = [reservation_id, row["payment_id"], row["receipt_id"]]
    subjects += [refund.refund_id for refund in latest_refunds.values()]
    return MyReservationEntry(
        **_item(row, latest_refunds).__dict__,
        as_of=datetime.now(UTC),
        timeline=await tables.timeline_entries(connection, subjects),
    )


def _item(row: Any, latest_refunds: dict[UUID, RefundPart]) -> MyReservation:
    fields = {column.name: row[column.name] for column in reservations.columns if column.name != "generation"}
    return MyReservation(
        **fields,
        product=_product(row),
        payment=payment_projections.part(row),
        refund=latest_refunds.get(row["payment_id"]),
        receipt=_receipt(row),
    )


def _product(row: Any) -> ProductPart | None:
    if row["product_name"] is None:
        return None
    return ProductPart(
        product_id=row["product_id"], name=row["product_name"], price=row["product_price"], status=row["product_status"]
    )


def _receipt(row: Any) -> ReceiptPart | None:
    if row["receipt_id"] is None:
        return None
    return ReceiptPart(
        receipt_id=row["receipt_id"],
        status=row["receipt_status"],
        issued_at=row["issued_at"],
        expected_delivery=row["expected_delivery"],
    )
