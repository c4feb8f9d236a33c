"""Bike sharing: deposits, their ledger, and what they tell the system.

TopUpDeposit  -> AccountChanged, DebtPaid for each debt that it pays
CreditDeposit -> the same
TakeFee       -> FeeTaken, AccountChanged      (FeeTaken at each repetition)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.payments import Card, PaymentPart

TopUpAmount = Annotated[Won, Field(ge=1_000, le=500_000)]
CreditAmount = Annotated[Won, Field(ge=1, le=500_000)]


class TopUpStatus(StrEnum):
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


class EntryKind(StrEnum):
    TOP_UP = "TOP_UP"
    CREDIT = "CREDIT"
    FEE = "FEE"
    DEBT = "DEBT"


class AccountState(Shape):
    """A member's deposit in won; whoever owes has nothing."""

    account_id: UUID
    member_id: MemberId
    balance: Won
    debt: Won
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class Balance(Shape):
    """What a member has and owes, in won; zero for one who never had a deposit."""

    member_id: MemberId
    balance: Won
    debt: Won


class Entry(Shape):
    """A line of the ledger: the balance is the sum of the amounts."""

    entry_id: UUID
    member_id: MemberId
    kind: EntryKind
    amount: int
    """Won; negative for what was taken."""
    balance_after: Won
    bill_id: UUID | None
    top_up_id: UUID | None
    reason: str | None
    created_at: AwareDatetime


class TopUp(Shape):
    """Money for a deposit; `balance` and `debt` as they were once it was there, None before."""

    top_up_id: UUID
    member_id: MemberId
    amount: Won
    status: TopUpStatus
    reason: str | None
    balance: Won | None
    debt: Won | None
    payment: PaymentPart | None
    """None for what staff credited."""
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
    """Of the deposit, when the fee was taken."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class TopUpDeposit(Command[TopUp]):
    """A member pays money in; it takes the message's id. Refused with `payment_declined` or `payment_unavailable`."""

    topic = "bike_sharing.deposits.top_up_deposit"

    amount: TopUpAmount
    payment: Card
    caller: Caller


class CreditDeposit(Command[TopUp]):
    """Staff give a member money; it takes the message's id."""

    topic = "bike_sharing.deposits.credit_deposit"

    member_id: MemberId
    amount: CreditAmount
    reason: Reason
    caller: Caller


class TakeFee(Command[None]):
    """Take the fee of a bill, once: what the deposit has not got is owed."""

    topic = "bike_sharing.deposits.take_fee"

    bill_id: UUID
    ride_id: UUID
    member_id: MemberId
    amount: Won
    ended_at: AwareDatetime
    """Debts are paid in the order in which the rides ended."""


class AccountChanged(AccountState, Event):
    topic = "bike_sharing.deposits.account_changed"


class FeeTaken(FeeState, Event):
    topic = "bike_sharing.deposits.fee_taken"


class DebtPaid(FeeState, Event):
    """A part of what was owed on a bill was paid, or all of it."""

    topic = "bike_sharing.deposits.debt_paid"


class ShowDeposit(Query[Balance]):
    """A member without a deposit has 0, for the member; for staff there is nothing."""

    topic = "bike_sharing.deposits.show_deposit"

    member_id: MemberId
    caller: Caller


class ListDeposits(Query[Page[AccountState]]):
    topic = "bike_sharing.deposits.list_deposits"

    limit: int = 50
    cursor: str | None = None


class ListEntries(Query[Page[Entry]]):
    """The ledger of a member, newest first; another customer's is `not_found`."""

    topic = "bike_sharing.deposits.list_entries"

    member_id: MemberId
    limit: int = 50
    cursor: str | None = None
    caller: Caller


class ShowTopUp(Query[TopUp]):
    topic = "bike_sharing.deposits.show_top_up"

    top_up_id: UUID
    caller: Caller


class ListTopUps(Query[Page[TopUp]]):
    topic = "bike_sharing.deposits.list_top_ups"

    member_id: str | None = None
    status: TopUpStatus | None = None
    limit: int = 50
    cursor: str | None = None
