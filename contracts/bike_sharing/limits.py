"""The time limits of the requests of bike sharing: its workers and its routes wait by them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class BikeSharingLimits(BaseModel):
    """Settings of the workers and of the gateway; `*_ms` are milliseconds."""

    bike_sharing_take_ms: int = Field(1200, ge=10)
    bike_sharing_payment_ms: int = Field(3000, ge=10)
