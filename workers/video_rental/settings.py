"""Settings of video rental."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from workers.runtime.settings import Settings


class VideoRentalSettings(Settings):
    """Settings of video rental."""

    video_rental_payment_ms: int = Field(3000, ge=10)
    video_rental_pickup_hours: float = Field(48, gt=0)

    @property
    def pickup_time(self) -> timedelta:
        return timedelta(hours=self.video_rental_pickup_hours)
