"""A thing that one card payment pays for: its columns of payment and refund, and how events of payments change them.

The statements that create, settle and cancel such a thing belong to its context. Its table has the columns of
`paid_columns`, and an index on `payment_id`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from contracts.payments import PaymentState, PaymentStatus, RefundState
from storage.database import Row, Session, Statement

Status = TypeVar("Status", bound=str)

SETTLE_PAYMENT = """payment_status =
  case when payment_version > 0 then payment_status else cast(:payment_status as text) end"""
"""For the `update` that settles a thing: the status that its outcome implies, unless an event has arrived already."""
BEGIN_REFUND = "refund_id = :refund_id, refund_status = 'PENDING', refund_amount = greatest(0, price - refunded)"
"""For the `update` that cancels a paid thing: its refund, until events of payments tell more."""


def paid_columns() -> str:
    """The columns of payment and refund, for a migration's `create table`."""
    return """payment_id uuid not null,
          payment_status text,
          payment_version integer not null default 0,
          refunded bigint not null default 0,
          refund_id uuid,
          refund_status text,
          refund_amount bigint,
          refund_version integer not null default 0"""


@dataclass(frozen=True, slots=True)
class Settlement(Generic[Status]):
    """What the outcome of a charge makes of the thing that it pays for."""

    to: Status
    payment_status: PaymentStatus | None
    """None when nothing is charged."""
    reason: str | None = None
    paid_at: datetime | None = None

    def values(self) -> dict[str, Any]:
        """The parameters of the context's statement, of which it uses what it needs."""
        return {"to": self.to, "payment_status": self.payment_status, "reason": self.reason, "paid_at": self.paid_at}


class PaidThings:
    """The rows of one table, each with its own payment; `key` is their id, `cost` the column of the price in won."""

    def __init__(self, table: str, key: str, cost: str = "price") -> None:
        self._cost = cost
        self._note_payment = Statement(f"""
            update {table} set payment_status = :status, refunded = :refunded, payment_version = :version
            where payment_id = :payment_id and payment_version <= :version returning {key}""")  # noqa: S608 - constants
        self._note_refund = Statement(f"""
            update {table} set refund_status = :status, refund_amount = :amount, refund_version = :version
            where payment_id = :payment_id and refund_id = :refund_id and refund_version <= :version
            returning {key}""")  # noqa: S608 - constants

    def parts(self, row: Row) -> dict[str, Any]:
        """`payment` and `refund` of a row, each None before anything is known of it."""
        payment = refund = None
        if row["payment_status"] is not None:
            payment = {"payment_id": row["payment_id"], "status": row["payment_status"], "amount": row[self._cost]}
        if row.get("refund_id") is not None:
            refund = {"refund_id": row["refund_id"], "status": row["refund_status"], "amount": row["refund_amount"]}
        return {"payment": payment, "refund": refund}

    async def note_payment(self, session: Session, payment: PaymentState) -> UUID | None:
        """Store the newest state of a payment; the id of its thing, None for an older version or another's payment."""
        changed: UUID | None = await session.value(
            self._note_payment,
            payment_id=payment.payment_id,
            status=payment.status,
            refunded=payment.refunded,
            version=payment.version,
        )
        return changed

    async def note_refund(self, session: Session, refund: RefundState) -> UUID | None:
        """Store the newest state of the refund that a thing has begun; the id of the thing, None for any other."""
        changed: UUID | None = await session.value(
            self._note_refund,
            payment_id=refund.payment_id,
            refund_id=refund.refund_id,
            status=refund.status,
            amount=refund.amount,
            version=refund.version,
        )
        return changed
