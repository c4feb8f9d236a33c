"""Rules of renting, without I/O."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

SEOUL = ZoneInfo("Asia/Seoul")
LATE_DAYS_AT_MOST = 10


def due_at(picked_up_at: datetime, days: int) -> datetime:
    """24:00 in Seoul on the date of pickup plus `days`."""
    last_day = picked_up_at.astimezone(SEOUL).date() + timedelta(days=days)
    return datetime.combine(last_day + timedelta(days=1), time(), SEOUL)


def late_fee(due_at: datetime, returned_at: datetime, daily_price: int) -> int:
    """`daily_price` for each started day after `due_at`, for at most ten days; in won."""
    late = returned_at - due_at
    begun_days = -(-late // timedelta(days=1))
    return daily_price * min(max(begun_days, 0), LATE_DAYS_AT_MOST)
