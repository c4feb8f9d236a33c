"""Expected delivery: 21 days after the date of the payment in Seoul."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from workers.preorder.receipts.rules import expected_delivery


@pytest.mark.parametrize(
    ("paid_at", "expected"),
    [
        ("2026-03-10T05:00:00Z", date(2026, 3, 31)),
        ("2026-01-31T03:00:00Z", date(2026, 2, 21)),
        ("2026-02-28T03:00:00Z", date(2026, 3, 21)),
        ("2026-02-08T03:00:00Z", date(2026, 3, 1)),
        ("2028-02-08T03:00:00Z", date(2028, 2, 29)),
        ("2028-02-29T03:00:00Z", date(2028, 3, 21)),
        ("2026-04-09T03:00:00Z", date(2026, 4, 30)),
        ("2026-04-10T03:00:00Z", date(2026, 5, 1)),
        ("2026-12-10T03:00:00Z", date(2026, 12, 31)),
        ("2026-12-11T03:00:00Z", date(2027, 1, 1)),
        ("2026-12-31T03:00:00Z", date(2027, 1, 21)),
        # the day begins in Seoul at 15:00 UTC
        ("2026-01-31T14:59:59.999999Z", date(2026, 2, 21)),
        ("2026-01-31T15:00:00Z", date(2026, 2, 22)),
        ("2026-01-30T15:00:00Z", date(2026, 2, 21)),
        ("2026-12-31T15:00:00Z", date(2027, 1, 22)),
        # whatever zone the instant is written in
        ("2026-01-31T00:00:00+09:00", date(2026, 2, 21)),
        ("2026-01-31T23:59:59+09:00", date(2026, 2, 21)),
        ("2026-01-30T20:00:00-05:00", date(2026, 2, 21)),
    ],
)
def test_the_phone_is_expected_21_days_after_the_date_of_payment_in_seoul(paid_at: str, expected: date) -> None:
    assert expected_delivery(datetime.fromisoformat(paid_at)) == expected


def test_the_zone_of_the_instant_makes_no_difference() -> None:
    paid_at = datetime.fromisoformat("2026-01-31T16:30:00Z")

    assert {
        expected_delivery(paid_at.astimezone(ZoneInfo(zone))) for zone in ("UTC", "Asia/Seoul", "America/Lima")
    } == {date(2026, 2, 22)}
