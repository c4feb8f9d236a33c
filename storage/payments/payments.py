"""Payments: one row per payment, and an entry per change of its status.

`captured` is the amount captured and not voided by the provider; `refunding + refunded <= captured` always holds.
`version` is 0 until the first outcome is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from contracts.base import Page
from contracts.payments import ListPayments, PaymentState, PaymentStatus, PaymentUse, RequestPayment
from storage import paging
from storage.database import Row, Session, Statement


@dataclass(frozen=True, slots=True)
class Voiding:
    """A payment that is VOIDING or VOIDED."""

    payment: PaymentState
    voided: int
    """The amount that the provider has voided so far, in won."""
    age: timedelta
    """Time since the request, by the database's clock."""


def payment_of(row: Row) -> PaymentState:
    return PaymentState.model_validate(dict(row))


def _with_entry(change: str, amount: str) -> Statement:
    """A statement that changes a payment, inserts the entry of the change and returns the changed row.

    `amount` is the SQL expression for the entry's amount.
    """
    return Statement(f"""
        with changed as ({change} returning *),
        entry as (
          insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
          select payment_id, version, payment_id, status, {amount}, reason from changed)
        select * from changed""")  # noqa: S608 - both parts are constants of this module


_SETTLE = _with_entry(
    """
      insert into payments.payments as known
        (payment_id, status, payer, amount, purpose, method, last4, brand, captured, reason, object_id, href, version)
      values (:payment_id, :status, :payer, :amount, :purpose, :method, :last4, :brand, :captured, :reason, :object_id,
        :href, 1)
      on conflict (payment_id) do update set status = excluded.status, captured = excluded.captured,
        reason = excluded.reason, object_id = excluded.object_id, href = excluded.href,
        version = known.version + 1, modified_at = now()
      where known.status = 'REQUESTED'""",
    amount="captured",
)


async def settle(
    session: Session, command: RequestPayment, status: PaymentStatus, *, captured: int = 0, reason: str | None = None
) -> PaymentState | None:
    """Insert a payment with its outcome, without its card token; None when its id exists, also as a tombstone.

    A row that an earlier release left as REQUESTED takes the outcome.
    """
    row = await session.one(
        _SETTLE,
        payment_id=command.payment_id,
        status=status.value,
        payer=command.payer,
        amount=command.amount,
        purpose=command.purpose,
        method=command.method.method,
        last4=command.method.last4,
        brand=command.method.brand,
        captured=captured,
        reason=reason,
        object_id=command.use.object_id if command.use else None,
        href=command.use.href if command.use else None,
    )
    return payment_of(row) if row else None


_FIND = Statement("select * from payments.payments where payment_id = :payment_id")


async def find(session: Session, payment_id: UUID) -> PaymentState | None:
    """A payment; None when its id is unknown."""
    row = await session.one(_FIND, payment_id=payment_id)
    return payment_of(row) if row else None


_USE = Statement("""
    update payments.payments set object_id = :object_id, href = :href
    where payment_id = :payment_id and not let_go""")


async def use(session: Session, payment_id: UUID, use: PaymentUse) -> None:
    """Store what a payment pays for, unless its business has let go of it."""
    await session.one(_USE, payment_id=payment_id, object_id=use.object_id, href=use.href)


_LET_GO = Statement("update payments.payments set let_go = true where payment_id = :payment_id")


async def let_go(session: Session, payment_id: UUID) -> None:
    """Record that no business counts on a payment any more."""
    await session.one(_LET_GO, payment_id=payment_id)


_BEGIN_VOID = _with_entry(
    """
      update payments.payments set status = 'VOIDING', reason = coalesce(reason, 'cancelled'),
        version = version + 1, modified_at = now()
      where payment_id = :payment_id and status in ('REQUESTED', 'APPROVED', 'PARTIALLY_REFUNDED')""",
    amount="0",
)


async def begin_void(session: Session, payment_id: UUID) -> PaymentState | None:
    """Set a payment to VOIDING; None when it is unknown, VOIDING already, or has nothing to void."""
    row = await session.one(_BEGIN_VOID, payment_id=payment_id)
    return payment_of(row) if row else None


_TOMBSTONE = _with_entry(
    """
      insert into payments.payments (payment_id, status, payer, amount, purpose, method, reason, version)
      values (:payment_id, 'VOIDING', '', 0, '', '', 'cancelled', 1) on conflict do nothing""",
    amount="0",
)


async def write_tombstone(session: Session, payment_id: UUID) -> PaymentState | None:
    """Insert a VOIDING payment without payer, so that a later request is refused; None when the id exists."""
    row = await session.one(_TOMBSTONE, payment_id=payment_id)
    return payment_of(row) if row else None


_FIND_VOIDING = Statement("""
    select *, clock_timestamp() - asked_at as age from payments.payments
    where payment_id = :payment_id and status in ('VOIDING', 'VOIDED')""")


async def find_voiding(session: Session, payment_id: UUID) -> Voiding | None:
    """A payment that is VOIDING or VOIDED; None for any other."""
    row = await session.one(_FIND_VOIDING, payment_id=payment_id)
    return Voiding(payment_of(row), row["voided"], row["age"]) if row else None


_END_VOID = _with_entry(
    """
      update payments.payments set status = 'VOIDED', captured = refunded, voided = :voided,
        version = version + 1, modified_at = now()
      where payment_id = :payment_id and refunding = 0
        and (status = 'VOIDING' or (status = 'VOIDED' and voided < :voided))""",
    amount="voided",
)


async def end_void(session: Session, payment_id: UUID, voided: int) -> PaymentState | None:
    """Set a payment to VOIDED, with `voided` won in total; None when nothing changes.

    A VOIDED payment changes again when a charge appeared late, i.e. when `voided` is more than before.
    """
    row = await session.one(_END_VOID, payment_id=payment_id, voided=voided)
    return payment_of(row) if row else None


_NEWEST = paging.Newest(PaymentState, "payments.payments", "payment_id", filters=("payer", "status", "purpose"))


async def newest(session: Session, query: ListPayments) -> Page[PaymentState]:
    """One page of payments, newest first."""
    return await _NEWEST.page(session, query)
