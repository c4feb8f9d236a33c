"""The rules of due dates and late fees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from workers.video_rental.rentals.rules import SEOUL, due_at, late_fee

DUE = datetime(2026, 3, 2, 15, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def seoul(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=SEOUL)  # type: ignore[arg-type,misc]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("picked_up_at", "days", "due"),
    [
        pytest.param(seoul(2026, 3, 1, 23, 50), 1, utc("2026-03-02T15:00:00"), id="ten minutes before midnight"),
        pytest.param(seoul(2026, 3, 2, 0, 0), 1, utc("2026-03-03T15:00:00"), id="at midnight a new day begins"),
        pytest.param(seoul(2026, 3, 1, 0, 10), 1, utc("2026-03-02T15:00:00"), id="early and late on a day are alike"),
        pytest.param(utc("2026-03-01T14:50:00"), 1, utc("2026-03-02T15:00:00"), id="an instant in UTC"),
        pytest.param(utc("2026-03-01T15:00:00"), 1, utc("2026-03-03T15:00:00"), id="in Seoul it is tomorrow already"),
        pytest.param(seoul(2026, 3, 1, 12, 0), 7, utc("2026-03-08T15:00:00"), id="a week"),
        pytest.param(seoul(2026, 4, 30, 12, 0), 1, utc("2026-05-01T15:00:00"), id="end of a month"),
        pytest.param(seoul(2026, 12, 31, 12, 0), 1, utc("2027-01-01T15:00:00"), id="end of a year"),
        pytest.param(seoul(2026, 2, 28, 12, 0), 1, utc("2026-03-01T15:00:00"), id="end of February"),
        pytest.param(seoul(2028, 2, 28, 12, 0), 1, utc("2028-02-29T15:00:00"), id="end of February in a leap year"),
        pytest.param(seoul(2026, 3, 1, 12, 0), 365, utc("2027-03-01T15:00:00"), id="a year"),
    ],
)
def test_a_video_is_due_at_midnight_in_seoul_after_its_last_day(
    picked_up_at: datetime, days: int, due: datetime
) -> None:
    assert due_at(picked_up_at, days) == due


@pytest.mark.parametrize(
    ("returned_at", "days_to_pay"),
    [
        pytest.param(DUE - DAY, 0, id="a day early"),
        pytest.param(DUE - SECOND, 0, id="a second early"),
        pytest.param(DUE, 0, id="exactly when due"),
        pytest.param(DUE + timedelta(microseconds=1), 1, id="a moment late"),
        pytest.param(DUE + SECOND, 1, id="a second late"),
        pytest.param(DUE + DAY, 1, id="exactly a day late"),
        pytest.param(DUE + DAY + SECOND, 2, id="the second day has begun"),
        pytest.param(DUE + 9 * DAY, 9, id="nine days"),
        pytest.param(DUE + 9 * DAY + SECOND, 10, id="the tenth day has begun"),
        pytest.param(DUE + 10 * DAY + SECOND, 10, id="ten days are the most"),
        pytest.param(DUE + 400 * DAY, 10, id="forgotten for a year"),
    ],
)
def test_each_day_begun_after_the_due_date_costs_a_days_price(returned_at: datetime, days_to_pay: int) -> None:
    assert late_fee(DUE, returned_at, 1500) == days_to_pay * 1500


def test_the_late_fee_counts_from_the_instant_whatever_the_zone() -> None:
    assert late_fee(DUE.astimezone(SEOUL), DUE + SECOND, 1500) == 1500
