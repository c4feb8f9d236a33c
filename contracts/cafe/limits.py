"""The time limits of the requests of the café: its workers and its routes wait by them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class CafeLimits(BaseModel):
    """Settings of the workers and of the gateway; `*_ms` are milliseconds."""

    cafe_price_ms: int = Field(610, ge=10)
    """How long an order waits for the price from the menu."""
