"""Bike sharing: rides, from the start to the end.

StartRide  -> RideRequested -> RideStarted | RideNotStarted
ReturnBike -> RideReturned
EndRide    -> RideEndedByStaff
EndAtCap   -> RideEndedAtCap
SettleHold -> ConfirmHold | ReleaseBike (bikes)
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Reason, Shape, Won
from contracts.bike_sharing.bikes import Location
from contracts.bike_sharing.refusals import (
    BikeUnavailable,
    DebtOwed,
    DepositTooLow,
    RideBikeBroken,
    RideBikeNotAvailable,
    RideBikeNotFound,
    RideOpen,
)
from contracts.refusals import NotFound, WrongState


class RideStatus(StrEnum):
    STARTING = "STARTING"
    RIDING = "RIDING"
    RETURNED = "RETURNED"
    ENDED_BY_STAFF = "ENDED_BY_STAFF"
    ENDED_AT_CAP = "ENDED_AT_CAP"
    NOT_STARTED = "NOT_STARTED"


class FeePlan(Shape):
    """The price of a ride in won: `per_minute` for each started minute, `at_most` in total."""

    per_minute: Won
    at_most: Won


class RideState(Shape):
    """The public state of a ride; `minutes` counts started minutes, `fee` is in won."""

    ride_id: UUID
    bike_id: UUID
    member_id: MemberId
    status: RideStatus
    reason: str | None
    fee_plan: FeePlan
    start_location: str | None
    location: str | None
    """Where it ended; None before that, or if no location was given."""
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    minutes: int | None
    fee: Won | None
    flagged: bool
    """By its timestamps it ended before it started; it costs nothing."""
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class StartRide(Command[RideState]):
    """A member takes a bike; the ride has the id of this message.

    A refusal by bikes, or no reply, leaves a ride that is NOT_STARTED.
    """

    topic = "bike_sharing.rides.start_ride"
    refusals = (
        RideBikeNotFound,
        RideOpen,
        DebtOwed,
        DepositTooLow,
        RideBikeBroken,
        RideBikeNotAvailable,
        BikeUnavailable,
    )

    bike_id: UUID
    caller: Caller


class ReturnBike(Command[RideState]):
    """The rider returns the bike; a repetition answers with the unchanged ride."""

    topic = "bike_sharing.rides.return_bike"
    refusals = (NotFound, WrongState)

    ride_id: UUID
    location: Location
    caller: Caller


class EndRide(Command[RideState]):
    """Staff end a ride, with a reason."""

    topic = "bike_sharing.rides.end_ride"
    refusals = (NotFound, WrongState)

    ride_id: UUID
    reason: Reason
    location: Location | None = None
    caller: Caller


class EndAtCap(Command[None]):
    """The maximum duration of a ride has passed; rides schedules it for itself."""

    topic = "bike_sharing.rides.end_at_cap"

    ride_id: UUID


class SettleHold(Command[None]):
    """Bikes asks for the status of the ride that holds a bike.

    Rides sends `ConfirmHold` if the ride is in progress, and `ReleaseBike` if it has ended or never started. For an
    unknown ride a tombstone is written first, so that it can never start.
    """

    topic = "bike_sharing.rides.settle_hold"

    ride_id: UUID
    bike_id: UUID
    member_id: MemberId


class RideEvent(RideState, Event):
    """A change of a ride, with its state after the change."""


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
    refusals = (NotFound,)

    ride_id: UUID
    caller: Caller


class OpenRide(Shape):
    """The ride of a member that is starting or in progress."""

    ride_id: UUID | None


class FindOpenRide(Query[OpenRide]):
    topic = "bike_sharing.rides.find_open_ride"
    refusals = ()

    member_id: MemberId


class ListRides(Query[Page[RideState]]):
    topic = "bike_sharing.rides.list_rides"
    refusals = ()

    member_id: str | None = None
    status: RideStatus | None = None
    limit: int = 50
    cursor: str | None = None
