"""The time limits of the requests of video rental: its workers and its routes wait by them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class VideoRentalLimits(BaseModel):
    """Settings of the workers and of the gateway; `*_ms` are milliseconds."""

    video_rental_payment_ms: int = Field(3000, ge=10)
