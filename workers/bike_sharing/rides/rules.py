"""Rules of riding, without I/O."""

from __future__ import annotations

from datetime import datetime, timedelta

from contracts.bike_sharing.rides import FeePlan

MINUTE = timedelta(minutes=1)


def minutes(started_at: datetime, ended_at: datetime) -> int:
    """The number of started minutes; 0 for a ride that ended before it started."""
    return max(0, -(-(ended_at - started_at) // MINUTE))


def fee(plan: FeePlan, minutes: int) -> int:
    """The fee in won: `plan.per_minute` for each started minute, `plan.at_most` in total."""
    return min(plan.per_minute * minutes, plan.at_most)
