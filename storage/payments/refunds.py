"""Refunds: one row per refund; its amount is reserved on the row of its payment until it has succeeded."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from contracts.base import Page
from contracts.payments import (
    ListRefunds,
    PaymentState,
    PaymentUse,
    RefundAmount,
    RefundRest,
    RefundState,
    RefundStatus,
)
from storage import paging
from storage.database import Row, Session, Statement
from storage.payments.payments import payment_of


def refund_of(row: Row) -> RefundState:
    return RefundState.model_validate(dict(row))


_FIND = Statement("select * from payments.refunds where refund_id = :refund_id")


async def find(session: Session, refund_id: UUID) -> RefundState | None:
    """A refund; None when its id is unknown."""
    row = await session.one(_FIND, refund_id=refund_id)
    return refund_of(row) if row else None


_LOCK = Statement("select * from payments.payments where payment_id = :payment_id for update")


class LockedPayment(NamedTuple):
    """A payment, locked until this transaction ends, with what its business counts on."""

    payment: PaymentState | None
    """None when its id is unknown."""
    use: PaymentUse | None


async def lock_payment(session: Session, payment_id: UUID) -> LockedPayment:
    """Lock a payment."""
    row = await session.one(_LOCK, payment_id=payment_id)
    if row is None:
        return LockedPayment(None, None)
    in_use = row["object_id"] is not None and not row["let_go"]
    use = PaymentUse(object_id=row["object_id"], href=row["href"]) if in_use else None
    return LockedPayment(payment_of(row), use)


_START = Statement("""
    with inserted as (
      insert into payments.refunds
        (refund_id, payment_id, payer, purpose, amount, status, reason, failure, requested_by)
      values (:refund_id, :payment_id, :payer, :purpose, :amount, :status, :reason, :failure, :requested_by)
      on conflict do nothing returning *),
    reserved as (
      update payments.payments set refunding = refunding + inserted.amount, modified_at = now()
      from inserted where payments.payment_id = inserted.payment_id and inserted.status = 'PENDING'),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select refund_id, version, payment_id, 'REFUND_' || status, amount, reason from inserted)
    select * from inserted""")


async def start(
    session: Session,
    payment: PaymentState | None,
    refund: RefundRest | RefundAmount,
    amount: int,
    requested_by: str,
    *,
    refusal: str | None = None,
) -> RefundState | None:
    """Insert a refund and reserve its amount on the locked payment; None when the refund's id exists.

    A refund of amount 0 is REFUNDED at once, one with a `refusal` is REFUSED for good.
    """
    status = RefundStatus.PENDING if amount else RefundStatus.REFUNDED
    row = await session.one(
        _START,
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        payer=payment.payer if payment else "",
        purpose=payment.purpose if payment else "",
        amount=amount,
        status=(RefundStatus.REFUSED if refusal else status).value,
        reason=refund.reason,
        failure=refusal,
        requested_by=requested_by,
    )
    return refund_of(row) if row else None


_BEGIN_ATTEMPT = Statement("""
    update payments.refunds set tries = tries + 1
    where refund_id = :refund_id and status in ('PENDING', 'REFUND_FAILED') returning *""")


async def begin_attempt(session: Session, refund_id: UUID) -> tuple[RefundState, int] | None:
    """Count an attempt; returns the refund and the number of the attempt, None when the refund has ended."""
    row = await session.one(_BEGIN_ATTEMPT, refund_id=refund_id)
    return (refund_of(row), row["tries"]) if row else None


_FAIL = Statement("""
    with changed as (
      update payments.refunds set status = 'REFUND_FAILED', failure = :failure,
        modified_at = now(), version = version + 1
      where refund_id = :refund_id
        and (status = 'PENDING' or status = 'REFUND_FAILED' and failure is distinct from :failure) returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select refund_id, version, payment_id, status, amount, failure from changed)
    select * from changed""")


async def fail(session: Session, refund_id: UUID, failure: str) -> RefundState | None:
    """Record a failed attempt; None when the refund has succeeded, or has failed with the same error before."""
    row = await session.one(_FAIL, refund_id=refund_id, failure=failure)
    return refund_of(row) if row else None


_COMPLETE = Statement("""
    with changed as (
      update payments.refunds set status = 'REFUNDED', failure = null, modified_at = now(), version = version + 1
      where refund_id = :refund_id and status <> 'REFUNDED' returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select refund_id, version, payment_id, 'REFUND_REFUNDED', amount, reason from changed)
    select * from changed""")


async def complete(session: Session, refund_id: UUID) -> RefundState | None:
    """Set a refund to REFUNDED; None when it was before."""
    row = await session.one(_COMPLETE, refund_id=refund_id)
    return refund_of(row) if row else None


_ADD_TO_PAYMENT = Statement("""
    with changed as (
      update payments.payments set refunding = refunding - :amount, refunded = refunded + :amount,
        status = case when status not in ('APPROVED', 'PARTIALLY_REFUNDED') then status
          when refunded + :amount >= captured then 'REFUNDED' else 'PARTIALLY_REFUNDED' end,
        modified_at = now(), version = version + 1
      where payment_id = :payment_id returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select payment_id, version, payment_id, status, cast(:amount as bigint), null from changed)
    select * from changed""")


async def add_to_payment(session: Session, refund: RefundState) -> PaymentState:
    """Add a succeeded refund to its payment, and release its reservation there."""
    row = await session.one(_ADD_TO_PAYMENT, payment_id=refund.payment_id, amount=refund.amount)
    assert row is not None
    return payment_of(row)


_ANY_UNLOGGED = Statement(
    "select exists (select from payments.refunds where status = 'REFUNDED' and amount > 0 and logged_at is null)"
)


async def any_unlogged(session: Session) -> bool:
    """Whether a succeeded refund has no line in the refund log yet."""
    return bool(await session.value(_ANY_UNLOGGED))


_LOCK_LOG = Statement("select pg_try_advisory_xact_lock(hashtext('payments: refund log'))")


async def lock_log(session: Session) -> bool:
    """Lock the refund log until the transaction ends; False when another process holds the lock."""
    return bool(await session.value(_LOCK_LOG))


_UNLOGGED = Statement("""
    select refund_id, payment_id, payer, amount, reason, requested_by, created_at, modified_at as refunded_at
    from payments.refunds where status = 'REFUNDED' and amount > 0 and logged_at is null
    order by modified_at, refund_id limit :limit""")


async def unlogged(session: Session, limit: int) -> list[Row]:
    """Succeeded refunds without a line in the refund log, in the order of their success."""
    return await session.all(_UNLOGGED, limit=limit)


_MARK_LOGGED = Statement(
    "update payments.refunds set logged_at = now() where refund_id = any(cast(:ids as uuid[])) and logged_at is null"
)


async def mark_logged(session: Session, ids: list[UUID]) -> None:
    """Mark refunds whose lines are on disk."""
    await session.value(_MARK_LOGGED, ids=ids)


_NEWEST = paging.Newest(
    RefundState,
    "payments.refunds",
    "refund_id",
    filters=("payer", "status", "payment_id"),
    where="amount > 0",
)


async def newest(session: Session, query: ListRefunds) -> Page[RefundState]:
    """One page of refunds, newest first, without those of amount 0."""
    return await _NEWEST.page(session, query)
