"""Settings of bike sharing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from contracts.bike_sharing.limits import BikeSharingLimits
from workers.runtime.settings import Settings


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [name for part in value.split(",") if (name := part.strip())]


Listed = Annotated[list[str], NoDecode, BeforeValidator(_listed)]


class BikeSharingSettings(BikeSharingLimits, Settings):
    """Settings of bike sharing."""

    bike_sharing_minimum_deposit: int = Field(2_000, ge=0)
    """Won that a member must have to ride."""
    bike_sharing_fee_per_minute: int = Field(100, ge=0)
    bike_sharing_fee_at_most: int = Field(20_000, ge=0)
    bike_sharing_ride_hours: float = Field(24, gt=0)
    """A ride that is open for so long ends by itself."""
    bike_sharing_locations: Listed = []
    """Where bikes may stand (JSON, or names with commas between them); empty: anywhere."""
    bike_sharing_holder_check_seconds: float = Field(60, gt=0)
    """After which bikes asks whether the ride that holds a bike stands; then less and less often."""

    @property
    def longest_ride(self) -> timedelta:
        return timedelta(hours=self.bike_sharing_ride_hours)
