"""Bike sharing: bikes, and which ride holds which bike.

RegisterBike -> BikeRegistered
ChangeBike   -> BikeChanged
TakeBike     -> BikeTaken
ReleaseBike  -> BikeReleased, HoldReleased    (HoldReleased alone when there was nothing to release)
AskHolder    -> SettleHold (rides) -> ConfirmHold | ReleaseBike
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, ExpectedVersion, MemberId, Page, Query, Shape
from contracts.bike_sharing.refusals import BikeBroken, BikeNotAvailable, CodeTaken, HoldAlreadyReleased
from contracts.refusals import NotFound, StaleVersion, WrongState

Code = Annotated[str, Field(min_length=1, max_length=60)]
Location = Annotated[str, Field(min_length=1, max_length=60)]


class BikeStatus(StrEnum):
    AVAILABLE = "AVAILABLE"
    IN_USE = "IN_USE"
    BROKEN = "BROKEN"


class BikeCondition(StrEnum):
    GOOD = "GOOD"
    BROKEN = "BROKEN"


class BikeState(Shape):
    """The public state of a bike; a bike that is held is IN_USE whatever its condition."""

    bike_id: UUID
    code: Code
    location: Location
    status: BikeStatus
    condition: BikeCondition
    registered_by: str
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class RegisterBike(Command[BikeState]):
    """Refused (`invalid`) for a location that is not in the list."""

    topic = "bike_sharing.bikes.register_bike"
    refusals = (CodeTaken,)

    code: Code
    location: Location
    condition: BikeCondition = BikeCondition.GOOD
    caller: Caller


class ChangeBike(Command[BikeState]):
    """Change the fields that are given; refused (`wrong_state`) for a held bike, except to set its condition BROKEN."""

    topic = "bike_sharing.bikes.change_bike"
    refusals = (NotFound, StaleVersion, WrongState)

    bike_id: UUID
    location: Location | None = None
    condition: BikeCondition | None = None
    expected_version: ExpectedVersion | None = None


class TakeBike(Command[BikeState]):
    """Check and take a bike in one step; the ride holds it until `ReleaseBike`."""

    topic = "bike_sharing.bikes.take_bike"
    refusals = (NotFound, BikeBroken, BikeNotAvailable, HoldAlreadyReleased)

    bike_id: UUID
    ride_id: UUID
    member_id: MemberId


class ReleaseBike(Command[None]):
    """The ride has ended or never started. If it arrives before `TakeBike`, a tombstone refuses that command."""

    topic = "bike_sharing.bikes.release_bike"

    bike_id: UUID
    ride_id: UUID
    location: Location | None = None
    """Where the bike is now; None leaves its location unchanged."""


class ConfirmHold(Command[None]):
    """The ride that holds the bike is in progress: bikes stops asking for its status."""

    topic = "bike_sharing.bikes.confirm_hold"

    ride_id: UUID


class AskHolder(Command[None]):
    """Ask rides for the status of the ride that holds a bike; bikes schedules it for itself."""

    topic = "bike_sharing.bikes.ask_holder"

    ride_id: UUID
    times: int = 1
    """Set by earlier versions, which counted the attempts themselves."""


class BikeEvent(BikeState, Event):
    """A change of a bike, with its state after the change."""


class BikeRegistered(BikeEvent):
    topic = "bike_sharing.bikes.bike_registered"


class BikeChanged(BikeEvent):
    topic = "bike_sharing.bikes.bike_changed"


class BikeTaken(BikeEvent):
    topic = "bike_sharing.bikes.bike_taken"


class BikeReleased(BikeEvent):
    topic = "bike_sharing.bikes.bike_released"


class HoldReleased(Event):
    """The ride holds no bike, and will never hold one. Published for each `ReleaseBike`, even if nothing was held."""

    topic = "bike_sharing.bikes.hold_released"

    ride_id: UUID
    bike_id: UUID


class ShowBike(Query[BikeState]):
    """One bike; a BROKEN bike is `not_found` for customers."""

    topic = "bike_sharing.bikes.show_bike"
    refusals = (NotFound,)

    bike_id: UUID
    caller: Caller


class ListBikes(Query[Page[BikeState]]):
    topic = "bike_sharing.bikes.list_bikes"
    refusals = ()

    location: str | None = None
    status: BikeStatus | None = None
    broken_too: bool = False
    limit: int = 50
    cursor: str | None = None
