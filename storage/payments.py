"""Payments: one row each, and an entry for whatever became of it.

`captured` is what the provider took and did not void; `refunding + refunded <= captured` always holds. `version` is 0
until the first outcome is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from contracts.base import Page
from contracts.payments import ListPayments, PaymentState, PaymentStatus, RequestPayment
from storage import paging
from storage.database import Row, Session, Statement


@dataclass(frozen=True, slots=True)
class Voiding:
    """A payment that is being voided."""

    payment: PaymentState
    voided: int
    """What the provider has voided of it so far."""
    since_asked: timedelta
    """By the database's clock."""


def payment_of(row: Row) -> PaymentState:
    return PaymentState.model_validate(dict(row))


_ASK = Statement("""
    insert into payments.payments (payment_id, status, payer, amount, purpose, method, last4, brand)
    values (:payment_id, 'REQUESTED', :payer, :amount, :purpose, :method, :last4, :brand)
    on conflict do nothing returning 1""")


async def ask(session: Session, command: RequestPayment) -> bool:
    """Begin a payment, without its token; False when its id is known already, be it as a tombstone."""
    inserted = await session.value(
        _ASK,
        payment_id=command.payment_id,
        payer=command.payer,
        amount=command.amount,
        purpose=command.purpose,
        method=command.method.method,
        last4=command.method.last4,
        brand=command.method.brand,
    )
    return inserted is not None


def _noted(change: str, amount: str) -> Statement:
    """A change of a payment, its entry, and the row as it is then, in one statement; `amount` is what it was about."""
    return Statement(f"""
        with changed as ({change} returning *),
        entry as (
          insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
          select payment_id, version, payment_id, status, {amount}, reason from changed)
        select * from changed""")  # noqa: S608 - both parts are constants of this module


_SETTLE = _noted(
    """
      update payments.payments set status = :status, captured = :captured, reason = :reason,
        version = version + 1, modified_at = now()
      where payment_id = :payment_id and status = 'REQUESTED'""",
    amount="captured",
)


async def settle(
    session: Session, payment_id: UUID, status: PaymentStatus, *, captured: int = 0, reason: str | None = None
) -> PaymentState | None:
    """Close a payment that waits for its provider; None when it does not."""
    row = await session.one(_SETTLE, payment_id=payment_id, status=status.value, captured=captured, reason=reason)
    return payment_of(row) if row else None


_FIND = Statement("select * from payments.payments where payment_id = :payment_id")


async def find(session: Session, payment_id: UUID) -> PaymentState | None:
    row = await session.one(_FIND, payment_id=payment_id)
    return payment_of(row) if row else None


_BEGIN_VOID = _noted(
    """
      update payments.payments set status = 'VOIDING', reason = coalesce(reason, 'cancelled'),
        version = version + 1, modified_at = now()
      where payment_id = :payment_id and status in ('REQUESTED', 'APPROVED', 'PARTIALLY_REFUNDED')""",
    amount="0",
)


async def begin_void(session: Session, payment_id: UUID) -> PaymentState | None:
    """From now on this payment is to be undone; None when there is nothing of it to undo, or it is at work."""
    row = await session.one(_BEGIN_VOID, payment_id=payment_id)
    return payment_of(row) if row else None


_TOMBSTONE = _noted(
    """
      insert into payments.payments (payment_id, status, payer, amount, purpose, method, reason, version)
      values (:payment_id, 'VOIDED', '', 0, '', '', 'cancelled', 1) on conflict do nothing""",
    amount="0",
)


async def write_tombstone(session: Session, payment_id: UUID) -> PaymentState | None:
    """Leave a tombstone that declines the request when it comes; None when the id is known."""
    row = await session.one(_TOMBSTONE, payment_id=payment_id)
    return payment_of(row) if row else None


_LOOK = Statement("""
    select *, clock_timestamp() - asked_at as since_asked from payments.payments
    where payment_id = :payment_id and status in ('VOIDING', 'VOIDED')""")


async def voiding(session: Session, payment_id: UUID) -> Voiding | None:
    """A payment that is being voided or is voided; None for any other."""
    row = await session.one(_LOOK, payment_id=payment_id)
    return Voiding(payment_of(row), row["voided"], row["since_asked"]) if row else None


_END_VOID = _noted(
    """
      update payments.payments set status = 'VOIDED', captured = refunded, voided = :voided,
        version = version + 1, modified_at = now()
      where payment_id = :payment_id and refunding = 0
        and (status = 'VOIDING' or (status = 'VOIDED' and voided < :voided))""",
    amount="voided",
)


async def end_void(session: Session, payment_id: UUID, voided: int) -> PaymentState | None:
    """Nothing is kept any more, `voided` was given up in all; None when that is no news.

    A charge that turned up after the void is news again.
    """
    row = await session.one(_END_VOID, payment_id=payment_id, voided=voided)
    return payment_of(row) if row else None


_NEWEST = Statement("""
    select * from payments.payments
    where (cast(:payer as text) is null or payer = :payer)
      and (cast(:status as text) is null or status = :status)
      and (cast(:purpose as text) is null or purpose = :purpose)
      and (cast(:at as timestamptz) is null or (created_at, payment_id) < (:at, cast(:id as uuid)))
    order by created_at desc, payment_id desc limit :most""")


async def newest(session: Session, query: ListPayments) -> Page[PaymentState]:
    at, id = paging.decode(query.cursor)
    rows = await session.all(
        _NEWEST,
        payer=query.payer,
        status=query.status,
        purpose=query.purpose,
        at=at,
        id=id,
        most=query.limit + 1,
    )
    items, cursor = paging.page(rows, query.limit, payment_of, lambda one: (one.created_at, one.payment_id))
    return Page[PaymentState](items=items, next_cursor=cursor)
