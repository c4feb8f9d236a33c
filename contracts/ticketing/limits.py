"""The time limits of the requests of ticketing: its workers and its routes wait by them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TicketingLimits(BaseModel):
    """Settings of the workers and of the gateway; `*_ms` are milliseconds."""

    ticketing_take_ms: int = Field(3000, ge=10)
