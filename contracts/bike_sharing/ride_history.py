"""Bike sharing: the ride history, a view of rides with their bikes and bills."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry, Won
from contracts.bike_sharing.bikes import BikeStatus
from contracts.bike_sharing.billing import BillStatus
from contracts.bike_sharing.rides import RideState, RideStatus
from contracts.refusals import NotFound


class BikePart(Shape):
    """A bike as it is nested in other answers."""

    bike_id: UUID
    code: str
    status: BikeStatus
    location: str


class BillPart(Shape):
    """A bill as it is nested in other answers."""

    bill_id: UUID
    status: BillStatus
    amount: Won | None
    paid: Won
    owed: Won


class RideHistoryItem(RideState):
    """A ride with its bike and its bill; each is None until the view has received one of its events."""

    bike: BikePart | None
    bill: BillPart | None
    balance_after: Won | None
    """The deposit's balance after the fee was taken; None before."""


class RideHistoryEntry(RideHistoryItem):
    """A ride with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class RideHistory(Shape):
    """One page of rides; `as_of` is the time of reading."""

    items: list[RideHistoryItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListRideHistory(Query[RideHistory]):
    """The rides of a member, or of all when `member_id` is None, newest first."""

    topic = "bike_sharing.ride_history.list_ride_history"
    refusals = ()

    member_id: str | None = None
    status: RideStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowRideHistory(Query[RideHistoryEntry]):
    """One ride; waits up to one second until the view has applied its version `min_version`."""

    topic = "bike_sharing.ride_history.show_ride_history"
    refusals = (NotFound,)

    ride_id: UUID
    min_version: int = 0
    caller: Caller
