"""The rules of fees and debts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest
from pydantic import ValidationError

from contracts.bike_sharing.rides import FeePlan
from ops.settings import SystemSettings
from workers.bike_sharing.deposits import rules as deposits
from workers.bike_sharing.rides import rules as rides

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAN = FeePlan(per_minute=100, at_most=20_000)
FIRST, SECOND, THIRD = (uuid5(UUID(int=0), name) for name in ("first", "second", "third"))


@pytest.mark.parametrize(
    ("seconds", "minutes", "fee"),
    [
        (-3600, 0, 0),
        (-0.2, 0, 0),
        (0, 0, 0),
        (0.000001, 1, 100),
        (0.2, 1, 100),
        (59, 1, 100),
        (60, 1, 100),
        (60.000001, 2, 200),
        (61, 2, 200),
        (120, 2, 200),
        (199 * 60, 199, 19_900),
        (200 * 60, 200, 20_000),
        (200 * 60 + 1, 201, 20_000),
        (24 * 3600, 1440, 20_000),
    ],
)
def test_each_minute_begun_costs_up_to_a_limit(seconds: float, minutes: int, fee: int) -> None:
    begun = rides.minutes(START, START + timedelta(seconds=seconds))

    assert (begun, rides.fee(PLAN, begun)) == (minutes, fee)


def test_the_plan_of_the_start_counts() -> None:
    assert rides.fee(FeePlan(per_minute=7, at_most=20), 2) == 14
    assert rides.fee(FeePlan(per_minute=7, at_most=20), 3) == 20
    assert rides.fee(FeePlan(per_minute=0, at_most=20), 1000) == 0


@pytest.mark.parametrize(
    ("balance", "fee", "taken"), [(1000, 300, 300), (300, 300, 300), (299, 300, 299), (0, 300, 0), (300, 0, 0)]
)
def test_a_deposit_pays_what_it_has(balance: int, fee: int, taken: int) -> None:
    assert deposits.fee_paid(balance, fee) == taken


@pytest.mark.parametrize(
    ("debts", "amount", "parts"),
    [
        ([], 1000, []),
        ([(FIRST, 300)], 0, []),
        ([(FIRST, 300)], 299, [(FIRST, 299)]),
        ([(FIRST, 300)], 300, [(FIRST, 300)]),
        ([(FIRST, 300), (SECOND, 500)], 300, [(FIRST, 300)]),
        ([(FIRST, 300), (SECOND, 500)], 301, [(FIRST, 300), (SECOND, 1)]),
        ([(SECOND, 500), (FIRST, 300)], 600, [(SECOND, 500), (FIRST, 100)]),
        ([(FIRST, 1), (SECOND, 2), (THIRD, 3)], 1000, [(FIRST, 1), (SECOND, 2), (THIRD, 3)]),
    ],
)
def test_the_oldest_debt_is_paid_first_and_the_last_in_part(
    debts: list[tuple[UUID, int]], amount: int, parts: list[tuple[UUID, int]]
) -> None:
    assert deposits.allocate(debts, amount) == parts


@pytest.mark.parametrize(
    ("given", "locations"),
    [
        ("", []),
        ("City Hall", ["City Hall"]),
        ("City Hall, Han River,", ["City Hall", "Han River"]),
        ('["City Hall", "Gate 1, north"]', ["City Hall", "Gate 1, north"]),
    ],
)
def test_locations_are_a_list_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: str, locations: list[str]
) -> None:
    monkeypatch.setenv("YEYAK_BIKE_SHARING_LOCATIONS", given)

    assert SystemSettings().bike_sharing_locations == locations


def test_locations_that_are_no_list_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YEYAK_BIKE_SHARING_LOCATIONS", "[City Hall")

    with pytest.raises(ValidationError, match="bike_sharing_locations"):
        SystemSettings()
