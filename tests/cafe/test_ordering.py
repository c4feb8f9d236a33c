"""Ordering: a copy that says sold out refuses at once; otherwise what the menu says now decides."""

from __future__ import annotations

from uuid import uuid4

from contracts.base import Caller
from tests.cafe.words import new_item, order_of, orders_of, shown, told_of
from tests.support.town import Town


async def test_an_order_has_the_price_of_now_and_a_pickup_number_and_is_in_the_report(town: Town, kim: Caller) -> None:
    item = await town.done(new_item(price=4500, name="Latte"))
    request_id = uuid4()

    order = await town.done(order_of(item, kim, quantity=2, expected=4500), id=request_id)

    assert order["pickup_number"] >= 1
    expected = {
        "order_id": str(request_id),
        "menu_item_id": item["menu_item_id"],
        "member_id": kim.member_id,
        "name": "Latte",
        "quantity": 2,
        "expected_price": 4500,
        "price": 4500,
        "total": 9000,
        "status": "ORDERED",
        "reason": None,
        "version": 1,
    }
    assert {name: order[name] for name in expected} == expected
    assert await orders_of(town, kim) == [order]
    await shown(town, item, orders_today=1)
    assert told_of(town, order, "order_id") == ["order_placed"]
