"""Settings of video rental."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from contracts.video_rental.limits import VideoRentalLimits
from workers.runtime.settings import Settings


class VideoRentalSettings(VideoRentalLimits, Settings):
    """Settings of video rental."""

    video_rental_pickup_hours: float = Field(48, gt=0)

    @property
    def pickup_time(self) -> timedelta:
        return timedelta(hours=self.video_rental_pickup_hours)
