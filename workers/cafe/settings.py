"""Settings of the café."""

from __future__ import annotations

from pydantic import Field

from workers.runtime.settings import Settings


class CafeSettings(Settings):
    """Settings of the café."""

    cafe_price_ms: int = Field(610, ge=10)
    """How long an order waits for the price from the menu."""
