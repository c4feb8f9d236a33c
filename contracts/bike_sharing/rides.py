"""Bike sharing: rides, and what they tell the system.

StartRide -> RideRequested -> RideStarted | RideNotStarted
ReturnBike -> RideReturned, EndRide -> RideEndedByStaff, EndAtCap -> RideEndedAtCap
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.bike_sharing.bikes import Location


class RideStatus(StrEnum):
    STARTING = "STARTING"
    RIDING = "RIDING"
    RETURNED = "RETURNED"
    ENDED_BY_STAFF = "ENDED_BY_STAFF"
    ENDED_AT_CAP = "ENDED_AT_CAP"
    NOT_STARTED = "NOT_STARTED"


class FeePlan(Shape):
    """What riding costs, in won: so much for each minute begun, and no more than so much."""

    per_minute: Won
    at_most: Won


class RideState(Shape):
    """A ride as the system may know it; `minutes` are those begun, `fee` is in won."""

    ride_id: UUID
    bike_id: UUID
    member_id: MemberId
    status: RideStatus
    reason: str | None
    fee_plan: FeePlan
    start_location: str | None
    location: str | None
    """Where it ended; None before that, or when nobody said."""
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    minutes: int | None
    fee: Won | None
    flagged: bool
    """It ended before it started, as the clock says, and costs nothing."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class StartRide(Command[RideState]):
    """A member takes a bike; the ride takes the message's id.

    Refused with `not_found`, `ride_open`, `debt_owed`, `deposit_too_low`, and, with the ride NOT_STARTED,
    `bike_broken`, `bike_not_available` or `bike_unavailable`.
    """

    topic = "bike_sharing.rides.start_ride"

    bike_id: UUID
    caller: Caller


class ReturnBike(Command[RideState]):
    """The rider brings the bike back; again: the ride as it is."""

    topic = "bike_sharing.rides.return_bike"

    ride_id: UUID
    location: Location
    caller: Caller


class EndRide(Command[RideState]):
    """Staff end a ride, and say why."""

    topic = "bike_sharing.rides.end_ride"

    ride_id: UUID
    reason: Reason
    location: Location | None = None
    caller: Caller


class EndAtCap(Command[None]):
    """The longest time for a ride is over: rides tells itself."""

    topic = "bike_sharing.rides.end_at_cap"

    ride_id: UUID


class SettleHold(Command[None]):
    """Bikes asks whether the ride that holds a bike stands.

    It is told `ConfirmHold` of one that does and `ReleaseBike` of one that does not; a ride that nobody knows never
    will be one.
    """

    topic = "bike_sharing.rides.settle_hold"

    ride_id: UUID
    bike_id: UUID
    member_id: MemberId


class RideEvent(RideState, Event):
    """What happened to a ride, with its state afterwards."""


class RideRequested(RideEvent):
    topic = "bike_sharing.rides.ride_requested"


class RideStarted(RideEvent):
    topic = "bike_sharing.rides.ride_started"


class RideNotStarted(RideEvent):
    topic = "bike_sharing.rides.ride_not_started"


class RideReturned(RideEvent):
    topic = "bike_sharing.rides.ride_returned"


class RideEndedByStaff(RideEvent):
    topic = "bike_sharing.rides.ride_ended_by_staff"


class RideEndedAtCap(RideEvent):
    topic = "bike_sharing.rides.ride_ended_at_cap"


class ShowRide(Query[RideState]):
    topic = "bike_sharing.rides.show_ride"

    ride_id: UUID
    caller: Caller


class ListRides(Query[Page[RideState]]):
    topic = "bike_sharing.rides.list_rides"

    member_id: str | None = None
    status: RideStatus | None = None
    limit: int = 50
    cursor: str | None = None
