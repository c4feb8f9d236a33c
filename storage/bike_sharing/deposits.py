"""Bike sharing: deposit accounts, their ledger, fees and top-ups.

`post` inserts ledger entries and changes the balance in one statement: a balance is always the sum of its entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from contracts.base import Page
from contracts.bike_sharing.deposits import (
    AccountState,
    Entry,
    FeeState,
    LedgerEntryKind,
    ListDeposits,
    ListEntries,
    ListTopUps,
    TakeFee,
    TopUp,
    TopUpStatus,
)
from storage import paging
from storage.database import Row, Session, Statement
from storage.paid import SETTLE_PAYMENT, PaidThings, Settlement

MEMBERS = UUID("9f1d6a0e-0f0b-4b5e-8a52-7f6f2f4f9c31")
"""The namespace of account ids."""


def account_id_of(member_id: str) -> UUID:
    """The id of a member's account, derived from the member's id."""
    return uuid5(MEMBERS, member_id)


# -- accounts

_LOCK = Statement("""
    insert into bike_sharing_deposits.accounts as existing (account_id, member_id) values (:account_id, :member_id)
    on conflict (account_id) do update set member_id = existing.member_id returning *""")


async def lock(session: Session, member_id: str) -> AccountState:
    """A member's account, locked until this transaction ends; it is inserted if there is none."""
    row = await session.one(_LOCK, account_id=account_id_of(member_id), member_id=member_id)
    return AccountState.model_validate(dict(row or {}))


class LedgerLine(NamedTuple):
    """A ledger entry to insert; `amount` in won, negative for withdrawals."""

    kind: LedgerEntryKind
    amount: int
    bill_id: UUID | None = None
    top_up_id: UUID | None = None
    reason: str | None = None
    withdrawal_id: UUID | None = None


_POST = Statement("""
    with lines as (
      select * from unnest(cast(:kinds as text[]), cast(:amounts as bigint[]), cast(:bill_ids as uuid[]),
        cast(:top_up_ids as uuid[]), cast(:reasons as text[]), cast(:withdrawal_ids as uuid[]))
        with ordinality line(kind, amount, bill_id, top_up_id, reason, withdrawal_id, n)),
    clock as materialized (select clock_timestamp() as at),
    account as (
      update bike_sharing_deposits.accounts
      set balance = balance + (select coalesce(sum(amount), 0) from lines), debt = debt + cast(:debt as bigint),
        modified_at = now(), version = version + 1
      where account_id = :account_id returning *),
    written as (
      insert into bike_sharing_deposits.entries
        (account_id, kind, amount, balance_after, bill_id, top_up_id, reason, withdrawal_id, created_at)
      select account_id, kind, amount, balance - coalesce(sum(amount) over (order by n desc
          rows between unbounded preceding and 1 preceding), 0),
        bill_id, top_up_id, reason, withdrawal_id, at + n * interval '1 microsecond'
      from account, clock, lines)
    select * from account""")


async def post(session: Session, account: AccountState, lines: Sequence[LedgerLine], debt: int = 0) -> AccountState:
    """Insert ledger entries, add their sum to the balance, and add `debt` to the debt; the account must be locked."""
    row = await session.one(
        _POST,
        account_id=account.account_id,
        kinds=[line.kind for line in lines],
        amounts=[line.amount for line in lines],
        bill_ids=[line.bill_id for line in lines],
        top_up_ids=[line.top_up_id for line in lines],
        reasons=[line.reason for line in lines],
        withdrawal_ids=[line.withdrawal_id for line in lines],
        debt=debt,
    )
    return AccountState.model_validate(dict(row or {}))


# -- fees and debts

_FIND_FEE = Statement("select * from bike_sharing_deposits.fees where bill_id = :bill_id")


async def fee_of(session: Session, bill_id: UUID) -> FeeState | None:
    """The fee of a bill; None when it was not taken yet."""
    row = await session.one(_FIND_FEE, bill_id=bill_id)
    return FeeState.model_validate(dict(row)) if row else None


_TAKE = Statement("""
    insert into bike_sharing_deposits.fees
      (bill_id, ride_id, account_id, member_id, amount, paid, owed, balance_after, ended_at)
    values (:bill_id, :ride_id, :account_id, :member_id, :amount, :paid, :owed, :balance_after, :ended_at)
    returning *""")


async def take_fee(session: Session, account: AccountState, command: TakeFee, paid: int) -> FeeState:
    """Insert the fee of a bill, of which `paid` won were taken; `account` is the state after that."""
    row = await session.one(
        _TAKE,
        bill_id=command.bill_id,
        ride_id=command.ride_id,
        account_id=account.account_id,
        member_id=command.member_id,
        amount=command.amount,
        paid=paid,
        owed=command.amount - paid,
        balance_after=account.balance,
        ended_at=command.ended_at,
    )
    return FeeState.model_validate(dict(row or {}))


_DEBTS = Statement("""
    select bill_id, owed from bike_sharing_deposits.fees where account_id = :account_id and owed > 0
    order by ended_at, bill_id for update""")


async def debts(session: Session, account: AccountState) -> list[tuple[UUID, int]]:
    """(bill id, debt in won) of each bill with a debt, in the order in which the rides ended; the rows are locked."""
    return [(row["bill_id"], row["owed"]) for row in await session.all(_DEBTS, account_id=account.account_id)]


_PAY = Statement("""
    update bike_sharing_deposits.fees set paid = paid + cast(:part as bigint), owed = owed - cast(:part as bigint),
      modified_at = now(), version = version + 1
    where bill_id = :bill_id returning *""")


async def pay(session: Session, bill_id: UUID, part: int) -> FeeState:
    """Pay `part` won of the debt on a bill."""
    row = await session.one(_PAY, bill_id=bill_id, part=part)
    return FeeState.model_validate(dict(row or {}))


# -- top-ups


paid = PaidThings("bike_sharing_deposits.top_ups", "top_up_id", cost="amount")


def top_up_of(row: Row) -> TopUp:
    """A top-up from its row, with its payment if the payment's status is known."""
    return TopUp.model_validate({**row, "payment": paid.parts(row)["payment"]})


_BEGIN = Statement("""
    insert into bike_sharing_deposits.top_ups (top_up_id, member_id, amount, status, payment_id, reason)
    values (:top_up_id, :member_id, :amount, 'AWAITING_PAYMENT', :payment_id, :reason) returning *""")


async def begin(
    session: Session,
    top_up_id: UUID,
    member_id: str,
    amount: int,
    *,
    payment_id: UUID | None,
    reason: str | None = None,
) -> TopUp:
    """Insert a top-up that is AWAITING_PAYMENT; a credit by staff has no payment."""
    row = await session.one(
        _BEGIN, top_up_id=top_up_id, member_id=member_id, amount=amount, payment_id=payment_id, reason=reason
    )
    return top_up_of(row or {})


_SETTLE = Statement(f"""
    update bike_sharing_deposits.top_ups set status = :to, reason = coalesce(cast(:reason as text), reason),
      {SETTLE_PAYMENT},
      modified_at = now(), version = version + 1
    where top_up_id = :top_up_id and status = 'AWAITING_PAYMENT' returning *""")  # noqa: S608 - a constant


async def settle(session: Session, top_up_id: UUID, settled: Settlement[TopUpStatus]) -> TopUp | None:
    """Set the outcome of a top-up that is AWAITING_PAYMENT; None when it was settled before."""
    row = await session.one(_SETTLE, top_up_id=top_up_id, **settled.values())
    return top_up_of(row) if row else None


_NOTE_BALANCE = Statement("""
    update bike_sharing_deposits.top_ups set balance = :balance, debt = :debt
    where top_up_id = :top_up_id returning *""")


async def note_balance(session: Session, top_up_id: UUID, account: AccountState) -> TopUp:
    """Store the member's balance and debt after the top-up."""
    row = await session.one(_NOTE_BALANCE, top_up_id=top_up_id, balance=account.balance, debt=account.debt)
    return top_up_of(row or {})


# -- queries

_FIND = Statement("select * from bike_sharing_deposits.accounts where account_id = :account_id and version > 0")


async def find(session: Session, member_id: str) -> AccountState | None:
    """A member's account; None before its first change."""
    row = await session.one(_FIND, account_id=account_id_of(member_id))
    return AccountState.model_validate(dict(row)) if row else None


_ACCOUNTS = paging.Newest(AccountState, "bike_sharing_deposits.accounts", "account_id", where="version > 0")


async def newest(session: Session, query: ListDeposits) -> Page[AccountState]:
    """One page of accounts, newest first."""
    return await _ACCOUNTS.page(session, query)


_ENTRIES = paging.Newest(
    Entry,
    "(select *, cast(:member_id as text) as member_id from bike_sharing_deposits.entries) as entries",
    "entry_id",
    where="account_id = :account_id",
)


async def entries(session: Session, query: ListEntries) -> Page[Entry]:
    """One page of a member's ledger, newest first."""
    return await _ENTRIES.page(session, query, account_id=account_id_of(query.member_id))


_FIND_TOP_UP = Statement("select * from bike_sharing_deposits.top_ups where top_up_id = :top_up_id")


async def top_up(session: Session, top_up_id: UUID) -> TopUp | None:
    """A top-up; None when there is none."""
    row = await session.one(_FIND_TOP_UP, top_up_id=top_up_id)
    return top_up_of(row) if row else None


_TOP_UPS = paging.Newest(
    TopUp, "bike_sharing_deposits.top_ups", "top_up_id", filters=("member_id", "status"), make=top_up_of
)


async def top_ups(session: Session, query: ListTopUps) -> Page[TopUp]:
    """One page of top-ups, newest first."""
    return await _TOP_UPS.page(session, query)
