"""The rules of the café: when an item may be ordered, which actions an order allows, and when a day begins."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from contracts.base import Refused
from contracts.cafe.menu import MenuItem
from contracts.cafe.orders import OrderStatus
from tests.cafe.helpers import AVAILABLE, SOLD_OUT
from workers.cafe.orders.rules import ALLOWED_FROM, allowed_actions, order_refusal
from workers.cafe.report import midnight

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def item(**about: object) -> MenuItem:
    known: dict[str, object] = {
        "menu_item_id": uuid4(),
        "name": "Latte",
        "price": 4500,
        "status": AVAILABLE,
        "registered_by": "staff",
        "changed_by": "staff",
        "created_at": NOW,
        "modified_at": NOW,
        "version": 1,
    }
    return MenuItem.model_validate(known | about)


@pytest.mark.parametrize(
    ("about", "expected_price", "refusal"),
    [
        pytest.param({}, None, None, id="on offer"),
        pytest.param({}, 4500, None, id="the price that was seen"),
        pytest.param({}, 4400, Refused("price_changed", price=4500), id="dearer now"),
        pytest.param({}, 4600, Refused("price_changed", price=4500), id="cheaper now"),
        pytest.param({}, 0, Refused("price_changed", price=4500), id="it was free of a price"),
        pytest.param({"price": 0}, None, Refused("not_for_sale"), id="no price yet"),
        pytest.param({"price": 0}, 0, Refused("not_for_sale"), id="no price yet, as was seen"),
        pytest.param({"price": 0}, 4500, Refused("not_for_sale"), id="no price comes before another price"),
        pytest.param({"price": 1}, None, None, id="one won is a price"),
        pytest.param({"status": SOLD_OUT}, None, Refused("sold_out"), id="sold out"),
        pytest.param({"status": SOLD_OUT, "price": 0}, None, Refused("sold_out"), id="sold out comes before no price"),
        pytest.param({"status": SOLD_OUT}, 1, Refused("sold_out"), id="sold out comes before another price"),
    ],
)
def test_the_current_item_decides_whether_it_can_be_ordered(
    about: dict[str, object], expected_price: int | None, refusal: Refused | None
) -> None:
    assert order_refusal(item(**about), expected_price) == refusal


@pytest.mark.parametrize(
    ("about", "is_on_offer"), [({}, True), ({"price": 0}, False), ({"status": SOLD_OUT}, False), ({"price": 1}, True)]
)
def test_customers_see_what_can_be_ordered(about: dict[str, object], is_on_offer: bool) -> None:
    assert item(**about).is_on_offer is is_on_offer


@pytest.mark.parametrize(
    ("status", "staff", "customer"),
    [
        (OrderStatus.ORDERED, ["acceptance", "rejection"], ["cancellation"]),
        (OrderStatus.ACCEPTED, ["ready", "rejection"], []),
        (OrderStatus.READY, ["collection"], []),
        (OrderStatus.COLLECTED, [], []),
        (OrderStatus.REJECTED, [], []),
        (OrderStatus.CANCELLED, [], []),
    ],
)
def test_each_state_has_its_actions(status: OrderStatus, staff: list[str], customer: list[str]) -> None:
    assert allowed_actions(status, is_staff=True) == staff
    assert allowed_actions(status, is_staff=False) == customer


def test_nothing_leads_back_to_ordered() -> None:
    assert set(ALLOWED_FROM) == set(OrderStatus) - {OrderStatus.ORDERED}


@pytest.mark.parametrize(
    ("now", "began"),
    [
        pytest.param("2026-03-01T14:59:59+00:00", "2026-02-28T15:00:00+00:00", id="a second before midnight in Seoul"),
        pytest.param("2026-03-01T15:00:00+00:00", "2026-03-01T15:00:00+00:00", id="midnight in Seoul"),
        pytest.param("2026-03-01T00:00:00+00:00", "2026-02-28T15:00:00+00:00", id="midnight in UTC is nine o'clock"),
        pytest.param("2026-12-31T15:30:00+00:00", "2026-12-31T15:00:00+00:00", id="New Year in Seoul"),
        pytest.param("2026-03-01T23:30:00+09:00", "2026-02-28T15:00:00+00:00", id="whatever the zone"),
    ],
)
def test_a_day_begins_at_midnight_in_seoul(now: str, began: str) -> None:
    assert midnight(datetime.fromisoformat(now)) == datetime.fromisoformat(began)
