"""Projections of payments and refunds, for the views that show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.payments import PaymentState, RefundPart, RefundState
from storage.views import ViewTables


def project_payments(tables: ViewTables, about: str) -> tuple[sa.Table, sa.Table]:
    """Declare the projections of the payments and refunds that are about a context."""
    payments = tables.projection("payments", PaymentState, "status", "amount", about=about)
    refunds = tables.projection(
        "refunds", RefundState, "payment_id", "status", "amount", "created_at", index=("payment_id",), about=about
    )
    return payments, refunds


class LatestRefunds:
    """Reads the latest refund of each payment that has any."""

    def __init__(self, tables: ViewTables, refunds: sa.Table) -> None:
        columns = refunds.c
        ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
        self._select = (
            sa.select(columns.payment_id, columns.refund_id, columns.status, columns.amount)
            .where(columns.generation == tables.current(), columns.payment_id.in_(ids))
            .order_by(columns.created_at, columns.refund_id)
        )

    async def of(self, connection: AsyncConnection, payment_ids: Iterable[UUID]) -> dict[UUID, RefundPart]:
        """By payment."""
        ids = list(payment_ids)
        rows = (await connection.execute(self._select, {"ids": ids})).all() if ids else []
        return {
            one.payment_id: RefundPart(refund_id=one.refund_id, status=one.status, amount=one.amount) for one in rows
        }
