"""Refunds: each has one id for its whole life, and its amount is reserved on the payment's row."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.payments import ListRefunds, RefundState
from storage import paging
from storage.database import Row, Session, Statement


def refund_of(row: Row) -> RefundState:
    return RefundState.model_validate(dict(row))


_FIND = Statement("select * from payments.refunds where refund_id = :refund_id")


async def find(session: Session, refund_id: UUID) -> RefundState | None:
    row = await session.one(_FIND, refund_id=refund_id)
    return refund_of(row) if row else None


_NEWEST = Statement("""
    select * from payments.refunds
    where amount > 0
      and (cast(:payer as text) is null or payer = :payer)
      and (cast(:status as text) is null or status = :status)
      and (cast(:payment_id as uuid) is null or payment_id = :payment_id)
      and (cast(:at as timestamptz) is null or (created_at, refund_id) < (:at, cast(:id as uuid)))
    order by created_at desc, refund_id desc limit :most""")


async def newest(session: Session, question: ListRefunds) -> Page[RefundState]:
    """Refunds of nothing are left out."""
    at, id = paging.decode(question.cursor)
    rows = await session.all(
        _NEWEST,
        payer=question.payer,
        status=question.status,
        payment_id=question.payment_id,
        at=at,
        id=id,
        most=question.limit + 1,
    )
    items, cursor = paging.page(rows, question.limit, refund_of, lambda one: (one.created_at, one.refund_id))
    return Page[RefundState](items=items, next_cursor=cursor)
