"""Rules of riding that need no table."""

from __future__ import annotations

from datetime import datetime, timedelta

from contracts.bike_sharing.rides import FeePlan

MINUTE = timedelta(minutes=1)


def minutes(started_at: datetime, ended_at: datetime) -> int:
    """The minutes begun; 0 for a ride that ended before it started."""
    return max(0, -(-(ended_at - started_at) // MINUTE))


def fee(plan: FeePlan, minutes: int) -> int:
    """So much for each minute begun, at most so much; in won."""
    return min(plan.per_minute * minutes, plan.at_most)
