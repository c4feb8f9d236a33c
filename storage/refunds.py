"""Refunds: each has one id for its whole life, and its amount is reserved on the payment's row."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.payments import ListRefunds, PaymentState, RefundRest, RefundState, RefundStatus
from storage import paging
from storage.database import Row, Session, Statement
from storage.payments import payment_of


def refund_of(row: Row) -> RefundState:
    return RefundState.model_validate(dict(row))


_FIND = Statement("select * from payments.refunds where refund_id = :refund_id")


async def find(session: Session, refund_id: UUID) -> RefundState | None:
    row = await session.one(_FIND, refund_id=refund_id)
    return refund_of(row) if row else None


_LOCK = Statement("select * from payments.payments where payment_id = :payment_id for update")


async def lock_payment(session: Session, payment_id: UUID) -> PaymentState | None:
    """The payment, which no other refund or void changes until the transaction ends."""
    row = await session.one(_LOCK, payment_id=payment_id)
    return payment_of(row) if row else None


_START = Statement("""
    with begun as (
      insert into payments.refunds (refund_id, payment_id, payer, purpose, amount, status, reason, requested_by)
      values (:refund_id, :payment_id, :payer, :purpose, :amount, :status, :reason, :requested_by)
      on conflict do nothing returning *),
    reserved as (
      update payments.payments set refunding = refunding + begun.amount, modified_at = now()
      from begun where payments.payment_id = begun.payment_id and begun.amount > 0),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select refund_id, version, payment_id, 'REFUND_' || status, amount, reason from begun)
    select * from begun""")


async def start(
    session: Session, payment: PaymentState | None, refund: RefundRest, amount: int, requested_by: str
) -> RefundState | None:
    """Reserve an amount of a locked payment; 0 is through at once. None when the refund's id is known."""
    row = await session.one(
        _START,
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        payer=payment.payer if payment else "",
        purpose=payment.purpose if payment else "",
        amount=amount,
        status=(RefundStatus.PENDING if amount else RefundStatus.REFUNDED).value,
        reason=refund.reason,
        requested_by=requested_by,
    )
    return refund_of(row) if row else None


_TRY = Statement("""
    update payments.refunds set tries = tries + 1
    where refund_id = :refund_id and status <> 'REFUNDED' returning *""")


async def begin_try(session: Session, refund_id: UUID) -> tuple[RefundState, int] | None:
    """Count a try: the refund and how many there were with this one; None when it is through."""
    row = await session.one(_TRY, refund_id=refund_id)
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
    """A try came to nothing; None when that is no news."""
    row = await session.one(_FAIL, refund_id=refund_id, failure=failure)
    return refund_of(row) if row else None


_END = Statement("""
    with changed as (
      update payments.refunds set status = 'REFUNDED', failure = null, modified_at = now(), version = version + 1
      where refund_id = :refund_id and status <> 'REFUNDED' returning *),
    entry as (
      insert into payments.entries (subject_id, version, payment_id, what, amount, reason)
      select refund_id, version, payment_id, 'REFUND_REFUNDED', amount, reason from changed)
    select * from changed""")


async def end(session: Session, refund_id: UUID) -> RefundState | None:
    """The money is back; None when it was before."""
    row = await session.one(_END, refund_id=refund_id)
    return refund_of(row) if row else None


_ADD = Statement("""
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


async def add(session: Session, refund: RefundState) -> PaymentState:
    """Count a refund that is through on its payment."""
    row = await session.one(_ADD, payment_id=refund.payment_id, amount=refund.amount)
    assert row is not None
    return payment_of(row)


_ANY_UNLOGGED = Statement(
    "select exists (select from payments.refunds where status = 'REFUNDED' and amount > 0 and logged_at is null)"
)


async def any_unlogged(session: Session) -> bool:
    """Whether a refund that is through waits for its line in the refund log."""
    return bool(await session.value(_ANY_UNLOGGED))


_LOCK_LOG = Statement("select pg_try_advisory_xact_lock(hashtext('payments: refund log'))")


async def lock_log(session: Session) -> bool:
    """Be the only writer of the refund log until the transaction ends; False when there is another."""
    return bool(await session.value(_LOCK_LOG))


_UNLOGGED = Statement("""
    select refund_id, payment_id, payer, amount, reason, requested_by, created_at, modified_at as refunded_at
    from payments.refunds where status = 'REFUNDED' and amount > 0 and logged_at is null
    order by modified_at, refund_id limit :most""")


async def unlogged(session: Session, most: int) -> list[Row]:
    """Refunds that wait for their line, the first to be through first."""
    return await session.all(_UNLOGGED, most=most)


_MARK_LOGGED = Statement(
    "update payments.refunds set logged_at = now() where refund_id = any(cast(:ids as uuid[])) and logged_at is null"
)


async def mark_logged(session: Session, ids: list[UUID]) -> None:
    """Their lines are on disk."""
    await session.value(_MARK_LOGGED, ids=ids)


_NEWEST = Statement("""
    select * from payments.refunds
    where amount > 0
      and (cast(:payer as text) is null or payer = :payer)
      and (cast(:status as text) is null or status = :status)
      and (cast(:payment_id as uuid) is null or payment_id = :payment_id)
      and (cast(:at as timestamptz) is null or (created_at, refund_id) < (:at, cast(:id as uuid)))
    order by created_at desc, refund_id desc limit :most""")


async def newest(session: Session, query: ListRefunds) -> Page[RefundState]:
    """Refunds of nothing are left out."""
    at, id = paging.decode(query.cursor)
    rows = await session.all(
        _NEWEST,
        payer=query.payer,
        status=query.status,
        payment_id=query.payment_id,
        at=at,
        id=id,
        most=query.limit + 1,
    )
    items, cursor = paging.page(rows, query.limit, refund_of, lambda one: (one.created_at, one.refund_id))
    return Page[RefundState](items=items, next_cursor=cursor)
