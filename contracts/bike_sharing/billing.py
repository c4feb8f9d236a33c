"""Bike sharing: one bill for each ride.

RideStarted        -> BillOpened
the end of a ride  -> BillSettling -> TakeFee -> BillClosed | BillOwed -> BillClosed
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Event, MemberId, Page, Query, Shape, Won
from contracts.bike_sharing.rides import FeePlan
from contracts.refusals import NotFound


class BillStatus(StrEnum):
    OPEN = "OPEN"
    SETTLING = "SETTLING"
    CLOSED = "CLOSED"
    OWED = "OWED"


class BillState(Shape):
    """The bill of a ride, in won; `amount` is None while the ride is open."""

    bill_id: UUID
    ride_id: UUID
    bike_id: UUID
    member_id: MemberId
    status: BillStatus
    fee_plan: FeePlan
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    minutes: int | None
    amount: Won | None
    paid: Won
    owed: Won
    balance_after: Won | None
    """The deposit's balance after the fee was taken."""
    flagged: bool
    """By its timestamps the ride ended before it started."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class BillEvent(BillState, Event):
    """A change of a bill, with its state after the change."""


class BillOpened(BillEvent):
    topic = "bike_sharing.billing.bill_opened"


class BillSettling(BillEvent):
    topic = "bike_sharing.billing.bill_settling"


class BillOwed(BillEvent):
    """The deposit did not cover the fee, or a part of the debt was paid."""

    topic = "bike_sharing.billing.bill_owed"


class BillClosed(BillEvent):
    topic = "bike_sharing.billing.bill_closed"


class ShowBill(Query[BillState]):
    topic = "bike_sharing.billing.show_bill"
    refusals = (NotFound,)

    bill_id: UUID
    caller: Caller


class ListBills(Query[Page[BillState]]):
    topic = "bike_sharing.billing.list_bills"
    refusals = ()

    member_id: str | None = None
    status: BillStatus | None = None
    limit: int = 50
    cursor: str | None = None
