"""Rules of receipts that need no table."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

SEOUL = ZoneInfo("Asia/Seoul")
DELIVERY_TIME = timedelta(days=21)


def expected_delivery(paid_at: datetime) -> date:
    """The date in Seoul on which it was paid, and 21 days."""
    return paid_at.astimezone(SEOUL).date() + DELIVERY_TIME
