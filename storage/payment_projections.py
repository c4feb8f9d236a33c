"""Projections of payments and refunds, for the views that show them."""

from __future__ import annotations

import sqlalchemy as sa

from contracts.payments import PaymentState, RefundState
from storage.views import ViewTables


def project_payments(tables: ViewTables, about: str) -> tuple[sa.Table, sa.Table]:
    """Declare the projections of the payments and refunds that are about a context."""
    payments = tables.projection("payments", PaymentState, "status", "amount", about=about)
    refunds = tables.projection(
        "refunds", RefundState, "payment_id", "status", "amount", "created_at", index=("payment_id",), about=about
    )
    return payments, refunds
