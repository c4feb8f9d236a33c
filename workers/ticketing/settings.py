"""Settings of ticketing."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from contracts.ticketing.limits import TicketingLimits
from workers.runtime.settings import Settings


class TicketingSettings(TicketingLimits, Settings):
    """Settings of ticketing."""

    ticketing_hold_check_seconds: float = Field(10, gt=0)
    """How long a hold may go unconfirmed until its holder is asked; longer than a take may take."""

    @property
    def ticketing_hold_check(self) -> timedelta:
        return timedelta(seconds=self.ticketing_hold_check_seconds)
