"""Projections of payments and refunds, for the views that show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.payments import PaymentPart, RefundPart
from storage.views import Instant, ViewTables


class PaymentProjections:
    """The tables of a view with the newest state of each payment and each refund."""

    def __init__(self, tables: ViewTables) -> None:
        self.payments = tables.projection(
            "payments",
            "payment_id",
            sa.Column("status", sa.String(40), nullable=False),
            sa.Column("amount", sa.BigInteger, nullable=False),
        )
        self.refunds = refunds = tables.projection(
            "refunds",
            "refund_id",
            sa.Column("payment_id", sa.Uuid, nullable=False),
            sa.Column("status", sa.String(40), nullable=False),
            sa.Column("amount", sa.BigInteger, nullable=False),
            sa.Column("created_at", Instant, nullable=False),
            sa.Index("refunds_of_payment", "generation", "payment_id"),
        )
        ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
        self._refunds_of = (
            sa.select(refunds)
            .where(refunds.c.generation == tables.current(), refunds.c.payment_id.in_(ids))
            .order_by(refunds.c.created_at, refunds.c.refund_id)
        )

    @property
    def columns(self) -> list[sa.Label[Any]]:
        """The columns of a joined payment that `part` reads."""
        return [self.payments.c[name].label(f"payment_{name}") for name in ("status", "amount")]

    @staticmethod
    def part(row: sa.RowMapping) -> PaymentPart | None:
        """The payment of a row that has `payment_id` and `columns`; None before the first event of the payment."""
        if row["payment_status"] is None:
            return None
        return PaymentPart(payment_id=row["payment_id"], status=row["payment_status"], amount=row["payment_amount"])

    async def latest_refunds(self, connection: AsyncConnection, payment_ids: Iterable[UUID]) -> dict[UUID, RefundPart]:
        """The latest refund of each payment that has any."""
        ids = list(payment_ids)
        if not ids:
            return {}
        rows = await connection.execute(self._refunds_of, {"ids": ids})
        return {
            row.payment_id: RefundPart(refund_id=row.refund_id, status=row.status, amount=row.amount) for row in rows
        }
