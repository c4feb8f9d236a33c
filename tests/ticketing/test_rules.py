"""The rules of pricing."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ticketing.pricing import Grade, Policy, PolicyKind, PolicyStatus
from workers.ticketing.pricing.rules import price_for

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Short = tuple[str, int] | tuple[str, int, str]


def policy(short: Short) -> Policy:
    """`("percent", 10)`, or `("amount", 500, "VIP")`."""
    kind, value, *grade = short
    return Policy(
        policy_id=uuid4(),
        name="sale",
        kind=PolicyKind(str(kind)),
        value=int(value),
        grade=Grade(grade[0]) if grade else None,
        valid_from=None,
        valid_until=None,
        status=PolicyStatus.ACTIVE,
        created_by="staff",
        created_at=NOW,
        modified_at=NOW,
        version=1,
    )


@pytest.mark.parametrize(
    ("grade", "base", "policies", "amounts", "total"),
    [
        ("STANDARD", 10_000, [], [], 10_000),
        ("STANDARD", 10_000, [("percent", 10)], [1000], 9000),
        ("STANDARD", 10_000, [("percent", 10), ("percent", 10)], [1000, 900], 8100),
        ("STANDARD", 10_000, [("amount", 3000), ("percent", 50)], [3000, 3500], 3500),
        ("STANDARD", 10_000, [("percent", 50), ("amount", 3000)], [5000, 3000], 2000),
        ("STANDARD", 999, [("percent", 10)], [99], 900),
        ("STANDARD", 9, [("percent", 10)], [0], 9),
        ("STANDARD", 10_000, [("percent", 100), ("amount", 1)], [10_000, 0], 0),
        ("STANDARD", 1000, [("amount", 1500), ("percent", 50)], [1000, 0], 0),
        ("STANDARD", 0, [("percent", 50), ("amount", 1)], [0, 0], 0),
        ("STANDARD", 10_000, [("percent", 10, "VIP")], [], 10_000),
        ("VIP", 10_000, [("percent", 10, "VIP")], [1000], 9000),
        ("VIP", 10_000, [("percent", 10, "VIP"), ("amount", 2000)], [2000, 800], 7200),
        ("VIP", 10_000, [("amount", 500, "VIP"), ("percent", 50), ("percent", 10, "VIP")], [5000, 500, 450], 4050),
    ],
)
def test_the_price_of_a_grade_under_policies(
    grade: str, base: int, policies: list[Short], amounts: list[int], total: int
) -> None:
    price = price_for(Grade(grade), base, [policy(short) for short in policies])

    assert [line.amount for line in price.lines] == amounts
    assert (price.base, price.total, price.grade) == (base, total, grade)


shorts = st.one_of(
    st.tuples(st.just("percent"), st.integers(1, 100)),
    st.tuples(st.just("amount"), st.integers(1, 20_000)),
    st.tuples(st.just("percent"), st.integers(1, 100), st.just("VIP")),
)


@given(st.integers(0, 10**6), st.lists(shorts, max_size=6))
def test_the_lines_explain_the_total_and_a_vip_never_pays_more(base: int, policies: list[Short]) -> None:
    standard, vip = (price_for(grade, base, [policy(short) for short in policies]) for grade in Grade)

    for price in (standard, vip):
        assert price.total == base - sum(line.amount for line in price.lines) >= 0
    assert vip.total <= standard.total
