"""Bike sharing: a member withdraws from the deposit; the cards of the latest top-ups get the money back first.

WithdrawDeposit  -> FindOpenRide (rides) -> WithdrawalStarted, AccountChanged, RefundAmount for each top-up
RefundSucceeded  -> WithdrawalProgressed | WithdrawalCompleted
RefundRefused    -> WithdrawalProgressed    (what that card cannot take is to be paid by hand)
PayOutWithdrawal -> WithdrawalProgressed | WithdrawalCompleted
"""

from __future__ import annotations

from typing import Any

from contracts.base import Page, Refused
from contracts.bike_sharing.deposits import (
    LedgerEntryKind,
    ListWithdrawals,
    PayOutWithdrawal,
    ShowWithdrawal,
    Withdrawal,
    WithdrawalCompleted,
    WithdrawalProgressed,
    WithdrawalStarted,
    WithdrawalStatus,
    WithdrawDeposit,
)
from contracts.bike_sharing.refusals import BalanceTooLow, RideOpen
from contracts.bike_sharing.rides import FindOpenRide, OpenRide
from contracts.outcomes import Outcome
from contracts.payments import RefundAmount, RefundRefused, RefundSucceeded
from contracts.refusals import NotFound, WrongState
from storage.bike_sharing import deposits as accounts
from storage.bike_sharing import withdrawals as store
from storage.database import Session
from workers.bike_sharing.deposits import rules
from workers.bike_sharing.deposits.handlers import deposits, post_lines
from workers.bike_sharing.settings import BikeSharingSettings
from workers.runtime.processing.tx import NoReply, NothingCommitted, Request, Tx

REASON = "deposit withdrawn"


@deposits.handles(WithdrawDeposit, requests=FindOpenRide, read_only=True, replays=store.find)
async def withdraw_deposit(command: WithdrawDeposit, tx: Tx) -> Request:
    """A ride that starts after the answer costs a debt, as one does whose fee is higher than the deposit."""
    find = FindOpenRide(member_id=command.caller.member_id)
    return tx.request(find, within=tx.settings(BikeSharingSettings).bike_sharing_take_ms / 1000)


@withdraw_deposit.then
async def start_withdrawal(
    command: WithdrawDeposit, outcome: OpenRide | Refused | NoReply, tx: Tx
) -> Withdrawal | Refused:
    if isinstance(outcome, Outcome):
        raise NothingCommitted
    if isinstance(outcome, Refused):
        return outcome
    if outcome.ride_id is not None:
        return RideOpen()
    account = await accounts.lock(tx, command.caller.member_id)
    if account.balance < command.amount:
        return BalanceTooLow(balance=account.balance)
    shares = rules.allocate(await store.refundable(tx, account.member_id), command.amount)
    parts = [store.CardPart(tx.derive_id(f"refund {ids[0]}"), *ids, amount) for ids, amount in shares]
    withdrawal = await store.insert(tx, tx.id, command, parts)
    line = accounts.LedgerLine(LedgerEntryKind.WITHDRAWAL, -command.amount, withdrawal_id=withdrawal.withdrawal_id)
    await post_lines(tx, account, [line])
    for part in parts:
        refund = {"payment_id": part.payment_id, "refund_id": part.refund_id, "amount": part.amount}
        tx.publish(RefundAmount(**refund, reason=REASON))
    tx.publish(WithdrawalStarted.of(withdrawal))
    return withdrawal


async def end_refund(event: Any, tx: Tx) -> None:
    _publish_change(tx, await store.end_refund(tx, event))


for refund_event in (RefundSucceeded, RefundRefused):
    deposits.handles(refund_event, about=deposits.name)(end_refund)


def _publish_change(tx: Tx, withdrawal: Withdrawal | None) -> None:
    if withdrawal is not None:
        completed = withdrawal.status is WithdrawalStatus.COMPLETED
        tx.publish((WithdrawalCompleted if completed else WithdrawalProgressed).of(withdrawal))


@deposits.handles(PayOutWithdrawal)
async def pay_out_withdrawal(command: PayOutWithdrawal, tx: Tx) -> Withdrawal:
    paid = await store.pay_out(tx, command)
    if paid is not None:
        _publish_change(tx, paid)
        return paid
    withdrawal = await store.find(tx, command.withdrawal_id)
    if withdrawal is None:
        raise NotFound
    if withdrawal.by_hand == 0:
        raise WrongState(current_status=withdrawal.status)
    return withdrawal


# -- queries


@deposits.handles(ShowWithdrawal)
async def show_withdrawal(query: ShowWithdrawal, session: Session) -> Withdrawal:
    withdrawal = await store.find(session, query.withdrawal_id)
    if withdrawal is None or not query.caller.may_see(withdrawal.member_id):
        raise NotFound
    return withdrawal


@deposits.handles(ListWithdrawals)
async def list_withdrawals(query: ListWithdrawals, session: Session) -> Page[Withdrawal]:
    return await store.newest(session, query)
