"""Bike sharing: members' deposits and their ledger.

TopUpDeposit  -> AccountChanged, and DebtPaid for each bill on which it pays a debt
CreditDeposit -> AccountChanged, and DebtPaid for each bill on which it pays a debt
TakeFee       -> FeeTaken, AccountChanged      (FeeTaken for each repetition)
WithdrawDeposit  -> WithdrawalStarted, AccountChanged -> WithdrawalProgressed, WithdrawalCompleted
PayOutWithdrawal -> WithdrawalProgressed | WithdrawalCompleted
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.bike_sharing.refusals import BalanceTooLow, RideOpen, TopUpDeclined, TopUpUnavailable
from contracts.payments import Card, PaymentPart
from contracts.refusals import NotFound, WrongState

TopUpAmount = Annotated[Won, Field(ge=1_000, le=500_000)]
WithdrawalAmount = Annotated[Won, Field(ge=1)]
Reference = Annotated[str, Field(min_length=1, max_length=100)]
CreditAmount = Annotated[Won, Field(ge=1, le=500_000)]


class TopUpStatus(StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class LedgerEntryKind(StrEnum):
    TOP_UP = "TOP_UP"
    CREDIT = "CREDIT"
    FEE = "FEE"
    DEBT = "DEBT"
    WITHDRAWAL = "WITHDRAWAL"


class WithdrawalStatus(StrEnum):
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"


class AccountState(Shape):
    """A member's deposit in won; a member with a debt has the balance 0."""

    account_id: UUID
    member_id: MemberId
    balance: Won
    debt: Won
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Balance(Shape):
    """A member's balance and debt, in won; both are 0 for a member without a deposit."""

    member_id: MemberId
    balance: Won
    debt: Won


class Entry(Shape):
    """A line of the ledger: the balance is the sum of the amounts."""

    entry_id: UUID
    member_id: MemberId
    kind: LedgerEntryKind
    amount: int
    """Won; negative for withdrawals."""
    balance_after: Won
    bill_id: UUID | None
    top_up_id: UUID | None
    withdrawal_id: UUID | None = None
    reason: str | None
    created_at: AwareDatetime


class Withdrawal(Shape):
    """Money that a member takes out of the deposit, in won; COMPLETED when `refunded + paid_out` is `amount`."""

    withdrawal_id: UUID
    member_id: MemberId
    amount: Won
    status: WithdrawalStatus
    refunded: Won
    """What cards of top-ups have got back."""
    by_hand: Won
    """What no card can take: staff pay it out."""
    paid_out: Won
    """What of `by_hand` staff have paid out, under `reference`."""
    reference: str | None
    paid_out_by: str | None
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class TopUp(Shape):
    """A payment into a deposit; `balance` and `debt` are those after it was credited, None before."""

    top_up_id: UUID
    member_id: MemberId
    amount: Won
    status: TopUpStatus
    reason: str | None
    balance: Won | None
    debt: Won | None
    payment: PaymentPart | None
    """None for a credit by staff."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class FeeState(Shape):
    """The fee of one bill: `amount = paid + owed`, in won."""

    bill_id: UUID
    ride_id: UUID
    member_id: MemberId
    amount: Won
    paid: Won
    owed: Won
    balance_after: Won
    """The deposit's balance after the fee was taken."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class TopUpDeposit(Command[TopUp]):
    """Pay into one's own deposit; the top-up has the id of this message."""

    topic = "bike_sharing.deposits.top_up_deposit"
    refusals = (NotFound, TopUpDeclined, TopUpUnavailable)

    amount: TopUpAmount
    payment: Card
    caller: Caller


class CreditDeposit(Command[TopUp]):
    """Staff credit a member's deposit; the top-up has the id of this message."""

    topic = "bike_sharing.deposits.credit_deposit"
    refusals = ()

    member_id: MemberId
    amount: CreditAmount
    reason: Reason
    caller: Caller


class WithdrawDeposit(Command[Withdrawal]):
    """Take money out of one's own deposit; the withdrawal has the id of this message."""

    topic = "bike_sharing.deposits.withdraw_deposit"
    refusals = (RideOpen, BalanceTooLow)

    amount: WithdrawalAmount
    caller: Caller


class PayOutWithdrawal(Command[Withdrawal]):
    """Staff have paid what no card can take; `reference` names the bank transfer."""

    topic = "bike_sharing.deposits.pay_out_withdrawal"
    refusals = (NotFound, WrongState)

    withdrawal_id: UUID
    reference: Reference
    caller: Caller


class TakeFee(Command[None]):
    """Take the fee of a bill once; the part that the deposit does not cover becomes a debt."""

    topic = "bike_sharing.deposits.take_fee"

    bill_id: UUID
    ride_id: UUID
    member_id: MemberId
    amount: Won
    ended_at: AwareDatetime
    """Debts are paid in the order of these times."""


class AccountChanged(AccountState, Event):
    topic = "bike_sharing.deposits.account_changed"


class FeeTaken(FeeState, Event):
    topic = "bike_sharing.deposits.fee_taken"


class DebtPaid(FeeState, Event):
    """A debt on a bill was paid, in part or completely."""

    topic = "bike_sharing.deposits.debt_paid"


class WithdrawalEvent(Withdrawal, Event):
    """A change of a withdrawal, with its state after the change."""


class WithdrawalStarted(WithdrawalEvent):
    """The amount is taken from the balance."""

    topic = "bike_sharing.deposits.withdrawal_started"


class WithdrawalProgressed(WithdrawalEvent):
    """A part was refunded, refused by its card, or paid out."""

    topic = "bike_sharing.deposits.withdrawal_progressed"


class WithdrawalCompleted(WithdrawalEvent):
    topic = "bike_sharing.deposits.withdrawal_completed"


JOURNAL_ONLY = (WithdrawalStarted, WithdrawalProgressed, WithdrawalCompleted)
"""Events that only the journal handles."""


class ShowDeposit(Query[Balance]):
    """A member's balance. Without a deposit the member gets 0, and staff get `not_found`."""

    topic = "bike_sharing.deposits.show_deposit"
    refusals = (NotFound,)

    member_id: MemberId
    caller: Caller


class ListDeposits(Query[Page[AccountState]]):
    topic = "bike_sharing.deposits.list_deposits"
    refusals = ()

    limit: int = 50
    cursor: str | None = None


class ListEntries(Query[Page[Entry]]):
    """The ledger of a member, newest first; `not_found` for another customer."""

    topic = "bike_sharing.deposits.list_entries"
    refusals = (NotFound,)

    member_id: MemberId
    limit: int = 50
    cursor: str | None = None
    caller: Caller


class ShowTopUp(Query[TopUp]):
    topic = "bike_sharing.deposits.show_top_up"
    refusals = (NotFound,)

    top_up_id: UUID
    caller: Caller


class ListTopUps(Query[Page[TopUp]]):
    topic = "bike_sharing.deposits.list_top_ups"
    refusals = ()

    member_id: str | None = None
    status: TopUpStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowWithdrawal(Query[Withdrawal]):
    topic = "bike_sharing.deposits.show_withdrawal"
    refusals = (NotFound,)

    withdrawal_id: UUID
    caller: Caller


class ListWithdrawals(Query[Page[Withdrawal]]):
    topic = "bike_sharing.deposits.list_withdrawals"
    refusals = ()

    member_id: str | None = None
    status: WithdrawalStatus | None = None
    limit: int = 50
    cursor: str | None = None
