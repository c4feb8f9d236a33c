"""Bike sharing: deposit accounts with top-ups, fees and debts. A balance is always the sum of its ledger entries.

TopUpDeposit  -> RequestPayment -> AccountChanged, DebtPaid
                                -> the top-up is REJECTED                (declined)
                                -> the top-up is CANCELLED, VoidPayment  (no reply in time)
CreditDeposit -> AccountChanged, DebtPaid
TakeFee       -> FeeTaken, AccountChanged
"""

from __future__ import annotations

from typing import Any

from contracts.base import Page, Refused
from contracts.bike_sharing.deposits import (
    AccountChanged,
    AccountState,
    Balance,
    CreditDeposit,
    DebtPaid,
    Entry,
    FeeTaken,
    LedgerEntryKind,
    ListDeposits,
    ListEntries,
    ListTopUps,
    ShowDeposit,
    ShowTopUp,
    TakeFee,
    TopUp,
    TopUpDeposit,
    TopUpStatus,
)
from contracts.bike_sharing.refusals import TopUpDeclined, TopUpUnavailable
from contracts.payments import PaymentState, RefundAmount, RequestPayment, VoidPayment
from contracts.refusals import NotFound
from storage.bike_sharing import deposits as store
from storage.database import Session
from storage.paid import Settlement
from workers import paid
from workers.bike_sharing.deposits import rules
from workers.bike_sharing.settings import BikeSharingSettings
from workers.runtime.processing.handlers import replay_of
from workers.runtime.processing.tx import NoReply, Request, Tx
from workers.runtime.worker import Worker

worker = deposits = Worker("bike_sharing.deposits", sends=(VoidPayment, RefundAmount))


# -- top-ups


@deposits.handles(
    TopUpDeposit,
    requests=RequestPayment,
    replays=replay_of(store.top_up, lambda top_up: _current_answer(top_up)),
)
async def top_up_deposit(command: TopUpDeposit, tx: Tx) -> Request:
    payment_id, member_id = tx.derive_id("payment"), command.caller.member_id
    await store.begin(tx, tx.id, member_id, command.amount, payment_id=payment_id)
    return paid.charge(
        tx,
        member_id,
        command.amount,
        command.payment,
        within_ms=tx.settings(BikeSharingSettings).bike_sharing_payment_ms,
        given_back_at="/v1/bike-sharing/deposits/withdrawals",
    )


@top_up_deposit.then
async def settle_top_up(command: TopUpDeposit, outcome: PaymentState | Refused | NoReply, tx: Tx) -> TopUp | Refused:
    settled = paid.settlement(
        outcome, paid=TopUpStatus.COMPLETED, declined=TopUpStatus.REJECTED, unavailable=TopUpStatus.CANCELLED
    )
    top_up = await store.settle(tx, tx.id, settled)
    if top_up is None:
        return _current_answer(await store.top_up(tx, tx.id))
    if top_up.status is TopUpStatus.COMPLETED:
        return await _credit(tx, top_up, LedgerEntryKind.TOP_UP)
    if top_up.status is TopUpStatus.CANCELLED:
        tx.publish(VoidPayment(payment_id=tx.derive_id("payment")))
    return _current_answer(top_up)


def _current_answer(top_up: TopUp | None) -> TopUp | Refused:
    """The answer to the command, from the current row."""
    if top_up is None:
        return NotFound()
    details: dict[str, Any] = {
        "top_up_id": str(top_up.top_up_id),
        "current_status": top_up.status,
        "reason": top_up.reason,
    }
    if top_up.status is TopUpStatus.REJECTED:
        return TopUpDeclined(**details)
    if top_up.status is TopUpStatus.CANCELLED:
        return TopUpUnavailable(**details)
    return top_up


@deposits.handles(CreditDeposit, replays=store.top_up)
async def credit_deposit(command: CreditDeposit, tx: Tx) -> TopUp:
    await store.begin(tx, tx.id, command.member_id, command.amount, payment_id=None, reason=command.reason)
    top_up = await store.settle(tx, tx.id, Settlement(TopUpStatus.COMPLETED, None))
    assert top_up is not None
    return await _credit(tx, top_up, LedgerEntryKind.CREDIT)


async def _credit(tx: Tx, top_up: TopUp, kind: LedgerEntryKind) -> TopUp:
    """Credit a top-up to its account; debts are paid from it first."""
    account = await store.lock(tx, top_up.member_id)
    parts = rules.allocate(await store.debts(tx, account), top_up.amount)
    lines = [store.LedgerLine(kind, top_up.amount, top_up_id=top_up.top_up_id, reason=top_up.reason)]
    lines += [store.LedgerLine(LedgerEntryKind.DEBT, -part, bill_id, top_up.top_up_id) for bill_id, part in parts]
    for bill_id, part in parts:
        tx.publish(DebtPaid.of(await store.pay(tx, bill_id, part)))
    account = await post_lines(tx, account, lines, debt=-sum(part for _, part in parts))
    return await store.note_balance(tx, top_up.top_up_id, account)


async def post_lines(tx: Tx, account: AccountState, lines: list[store.LedgerLine], debt: int = 0) -> AccountState:
    """Insert ledger entries, and publish the account after them; it must be locked."""
    account = await store.post(tx, account, lines, debt)
    tx.publish(AccountChanged.of(account))
    return account


# -- fees


@deposits.handles(TakeFee)
async def take_fee(command: TakeFee, tx: Tx) -> None:
    account = await store.lock(tx, command.member_id)
    fee = await store.fee_of(tx, command.bill_id)
    if fee is None:
        paid = rules.fee_paid(account.balance, command.amount)
        if command.amount:
            lines = [store.LedgerLine(LedgerEntryKind.FEE, -paid, command.bill_id)] if paid else []
            account = await post_lines(tx, account, lines, debt=command.amount - paid)
        fee = await store.take_fee(tx, account, command, paid)
    tx.publish(FeeTaken.of(fee))


# -- events of payments

paid.follow(deposits, store.paid, refunds=False)


# -- queries


@deposits.handles(ShowDeposit)
async def show_deposit(query: ShowDeposit, session: Session) -> Balance:
    account = await store.find(session, query.member_id)
    if account is None and query.caller.member_id != query.member_id:
        raise NotFound
    if account is None:
        return Balance(member_id=query.member_id, balance=0, debt=0)
    return Balance(member_id=account.member_id, balance=account.balance, debt=account.debt)


@deposits.handles(ListDeposits)
async def list_deposits(query: ListDeposits, session: Session) -> Page[AccountState]:
    return await store.newest(session, query)


@deposits.handles(ListEntries)
async def list_entries(query: ListEntries, session: Session) -> Page[Entry]:
    if not query.caller.may_see(query.member_id):
        raise NotFound
    return await store.entries(session, query)


@deposits.handles(ShowTopUp)
async def show_top_up(query: ShowTopUp, session: Session) -> TopUp:
    top_up = await store.top_up(session, query.top_up_id)
    if top_up is None or not query.caller.may_see(top_up.member_id):
        raise NotFound
    return top_up


@deposits.handles(ListTopUps)
async def list_top_ups(query: ListTopUps, session: Session) -> Page[TopUp]:
    return await store.top_ups(session, query)
