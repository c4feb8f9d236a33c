"""Bike sharing: withdrawals from deposits, and the refunds of top-ups that pay them.

`refunded` and `by_hand` of a withdrawal are the sums of its refunds that have succeeded, and of what no card can take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from contracts.base import Page
from contracts.bike_sharing.deposits import ListWithdrawals, PayOutWithdrawal, Withdrawal, WithdrawDeposit
from contracts.payments import RefundState, RefundStatus
from storage import paging
from storage.database import Row, Session, Statement


def withdrawal_of(row: Row) -> Withdrawal:
    return Withdrawal.model_validate(dict(row))


class CardPart(NamedTuple):
    """What a withdrawal takes from the payment of one top-up, in won."""

    refund_id: UUID
    top_up_id: UUID
    payment_id: UUID
    amount: int


_REFUNDABLE = Statement("""
    select top_up_id, payment_id, amount - greatest(refunded, coalesce((
        select sum(r.amount) from bike_sharing_deposits.withdrawal_refunds r
        where r.top_up_id = t.top_up_id and r.status <> 'REFUSED'), 0)) as refundable
    from bike_sharing_deposits.top_ups t
    where member_id = :member_id and status = 'COMPLETED' and payment_id is not null and refunded < amount
    order by created_at desc, top_up_id desc""")


async def refundable(session: Session, member_id: str) -> list[tuple[tuple[UUID, UUID], int]]:
    """((top-up id, payment id), won) that the cards of a member can take back, of the latest top-up first.

    The member's account must be locked.
    """
    rows = await session.all(_REFUNDABLE, member_id=member_id)
    return [((row["top_up_id"], row["payment_id"]), row["refundable"]) for row in rows if row["refundable"] > 0]


_INSERT = Statement("""
    with inserted as (
      insert into bike_sharing_deposits.withdrawals (withdrawal_id, member_id, amount, status, by_hand)
      values (:withdrawal_id, :member_id, :amount, 'PENDING', :by_hand) returning *),
    refunds as (
      insert into bike_sharing_deposits.withdrawal_refunds (refund_id, withdrawal_id, top_up_id, amount)
      select refund_id, withdrawal_id, top_up_id, part
      from inserted, unnest(cast(:refund_ids as uuid[]), cast(:top_up_ids as uuid[]), cast(:parts as bigint[]))
        as refund(refund_id, top_up_id, part))
    select * from inserted""")


async def insert(session: Session, id: UUID, command: WithdrawDeposit, parts: Sequence[CardPart]) -> Withdrawal:
    """Insert a withdrawal that is PENDING with its refunds; what they do not cover is to be paid by hand."""
    row = await session.one(
        _INSERT,
        withdrawal_id=id,
        member_id=command.caller.member_id,
        amount=command.amount,
        by_hand=command.amount - sum(part.amount for part in parts),
        refund_ids=[part.refund_id for part in parts],
        top_up_ids=[part.top_up_id for part in parts],
        parts=[part.amount for part in parts],
    )
    return withdrawal_of(row or {})


_END_REFUND = Statement("""
    with ended as (
      update bike_sharing_deposits.withdrawal_refunds set status = :status
      where refund_id = :refund_id and status = 'PENDING'
      returning withdrawal_id, amount * (status = 'REFUNDED')::int as done, amount * (status = 'REFUSED')::int as left)
    update bike_sharing_deposits.withdrawals w set refunded = w.refunded + done, by_hand = w.by_hand + "left",
      status = case when w.refunded + done + w.paid_out = w.amount then 'COMPLETED' else 'PENDING' end,
      modified_at = now(), version = w.version + 1
    from ended where w.withdrawal_id = ended.withdrawal_id returning w.*""")


async def end_refund(session: Session, refund: RefundState) -> Withdrawal | None:
    """Record that a refund has succeeded or was refused; None when it is of no withdrawal, or had ended before."""
    status = "REFUNDED" if refund.status is RefundStatus.REFUNDED else "REFUSED"
    row = await session.one(_END_REFUND, refund_id=refund.refund_id, status=status)
    return withdrawal_of(row) if row else None


_PAY_OUT = Statement("""
    update bike_sharing_deposits.withdrawals set paid_out = by_hand, reference = :reference, paid_out_by = :staff,
      status = case when refunded + by_hand = amount then 'COMPLETED' else 'PENDING' end,
      modified_at = now(), version = version + 1
    where withdrawal_id = :withdrawal_id and paid_out < by_hand returning *""")


async def pay_out(session: Session, command: PayOutWithdrawal) -> Withdrawal | None:
    """Record that what no card can take was paid by hand; None when nothing is left to be paid so."""
    row = await session.one(
        _PAY_OUT,
        withdrawal_id=command.withdrawal_id,
        reference=command.reference,
        staff=command.caller.member_id,
    )
    return withdrawal_of(row) if row else None


_FIND = Statement("select * from bike_sharing_deposits.withdrawals where withdrawal_id = :withdrawal_id")


async def find(session: Session, withdrawal_id: UUID) -> Withdrawal | None:
    """A withdrawal; None when there is none."""
    row = await session.one(_FIND, withdrawal_id=withdrawal_id)
    return withdrawal_of(row) if row else None


_NEWEST = paging.Newest(
    Withdrawal,
    "bike_sharing_deposits.withdrawals",
    "withdrawal_id",
    filters=("member_id", "status"),
    make=withdrawal_of,
)


async def newest(session: Session, query: ListWithdrawals) -> Page[Withdrawal]:
    """One page of withdrawals, newest first."""
    return await _NEWEST.page(session, query)
