"""Bike sharing: the fleet, who holds which bike, and what it tells the system.

RegisterBike -> BikeRegistered
ChangeBike   -> BikeChanged
TakeBike     -> BikeTaken
ReleaseBike  -> BikeReleased, HoldReleased    (HoldReleased alone when there was nothing to release)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.base import Caller, Command, Event, MemberId, Page, Query, Shape

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
    """A bike as the system may know it; one that is held is IN_USE whatever its condition."""

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
    """Refused with `invalid` (a location that is not in the list) or `code_taken`."""

    topic = "bike_sharing.bikes.register_bike"

    code: Code
    location: Location
    condition: BikeCondition = BikeCondition.GOOD
    caller: Caller


class ChangeBike(Command[BikeState]):
    """Change what is given. Of a bike that is held only its being BROKEN is noted; else `wrong_state`."""

    topic = "bike_sharing.bikes.change_bike"

    bike_id: UUID
    location: Location | None = None
    condition: BikeCondition | None = None


class TakeBike(Command[BikeState]):
    """Check and take, in one step; the ride holds the bike until it tells `ReleaseBike`.

    Refused with `not_found`, `bike_broken`, `bike_not_available`, or `hold_released` (its release came first).
    """

    topic = "bike_sharing.bikes.take_bike"

    bike_id: UUID
    ride_id: UUID
    member_id: MemberId


class ReleaseBike(Command[None]):
    """The ride is over, or never was; before the take it leaves a tombstone that refuses it."""

    topic = "bike_sharing.bikes.release_bike"

    bike_id: UUID
    ride_id: UUID
    location: Location | None = None
    """Where the bike is now; None: where it was."""


class ConfirmHold(Command[None]):
    """The ride that holds the bike stands: bikes need not ask again."""

    topic = "bike_sharing.bikes.confirm_hold"

    ride_id: UUID


class AskHolder(Command[None]):
    """Ask the holder of a bike whether its ride stands: bikes tells itself."""

    topic = "bike_sharing.bikes.ask_holder"

    ride_id: UUID
    times: int = 1
    """Counts the queries; they come less and less often."""


class BikeEvent(BikeState, Event):
    """What happened to a bike, with its state afterwards."""


class BikeRegistered(BikeEvent):
    topic = "bike_sharing.bikes.bike_registered"


class BikeChanged(BikeEvent):
    topic = "bike_sharing.bikes.bike_changed"


class BikeTaken(BikeEvent):
    topic = "bike_sharing.bikes.bike_taken"


class BikeReleased(BikeEvent):
    topic = "bike_sharing.bikes.bike_released"


class HoldReleased(Event):
    """The ride holds no bike, and never will: said at each release, also when there was nothing to release."""

    topic = "bike_sharing.bikes.hold_released"

    ride_id: UUID
    bike_id: UUID


class ShowBike(Query[BikeState]):
    """A bike that is BROKEN is there for staff only."""

    topic = "bike_sharing.bikes.show_bike"

    bike_id: UUID
    caller: Caller


class ListBikes(Query[Page[BikeState]]):
    topic = "bike_sharing.bikes.list_bikes"

    location: str | None = None
    status: BikeStatus | None = None
    broken_too: bool = False
    limit: int = 50
    cursor: str | None = None
