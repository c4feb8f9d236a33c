"""Bike sharing: ride history, everything a member rode, in one read."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry, Won
from contracts.bike_sharing.bikes import BikeStatus
from contracts.bike_sharing.billing import BillStatus
from contracts.bike_sharing.rides import RideState, RideStatus


class BikePart(Shape):
    """A bike as it is nested in other things."""

    bike_id: UUID
    code: str
    status: BikeStatus
    location: str


class BillPart(Shape):
    """A bill as it is nested in other things."""

    bill_id: UUID
    status: BillStatus
    amount: Won | None
    paid: Won
    owed: Won


class RideHistoryItem(RideState):
    """A ride with its bike and its bill, each None until the view has heard of it."""

    bike: BikePart | None
    bill: BillPart | None
    balance_after: Won | None
    """Of the deposit, when the fee was taken; None before."""


class RideHistoryEntry(RideHistoryItem):
    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class RideHistory(Shape):
    items: list[RideHistoryItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListRideHistory(Query[RideHistory]):
    """The rides of a member, or of all when `member_id` is None, newest first."""

    topic = "bike_sharing.ride_history.list_ride_history"

    member_id: str | None = None
    status: RideStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowRideHistory(Query[RideHistoryEntry]):
    """One ride; waits up to a second until the view has seen `min_version` of it."""

    topic = "bike_sharing.ride_history.show_ride_history"

    ride_id: UUID
    min_version: int = 0
    caller: Caller
