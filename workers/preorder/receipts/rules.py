"""Rules of receipts, without I/O."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

SEOUL = ZoneInfo("Asia/Seoul")
DELIVERY_TIME = timedelta(days=21)


def expected_delivery(paid_at: datetime) -> date:
    """21 days after the date of payment in Seoul."""
    return paid_at.astimezone(SEOUL).date() + DELIVERY_TIME
