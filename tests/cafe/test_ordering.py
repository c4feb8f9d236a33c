"""Ordering: an item that orders knows as sold out is refused at once; otherwise the menu decides by its state now."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from contracts.base import Caller
from contracts.cafe.menu import MenuItemChanged, MenuItemRegistered, MenuItemStatus, QuotePrice
from tests.cafe.helpers import (
    AVAILABLE,
    MENU,
    ORDERS,
    SOLD_OUT,
    change_item,
    known_item,
    order_events,
    order_of,
    orders_of,
    place_order,
    register_item,
    wait_for_known_item,
    wait_for_view,
)
from tests.support.system import Json, System


@pytest.fixture
def quotes(system: System, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of the price queries that the menu has handled."""
    handled: list[str] = []

    def note(envelope: object, verdict: object, took: float) -> None:
        if getattr(envelope, "topic", "") == QuotePrice.topic:
            handled.append(QuotePrice.topic)

    monkeypatch.setattr(system.contexts[MENU], "on_handled", note)
    return handled


async def set_known_status(system: System, item: Json, status: str) -> None:
    """Make the copy of an item in orders older or newer than the menu."""
    query = "update cafe_orders.menu_items set status = $2 where menu_item_id = $1"
    await system.rows(ORDERS, query, UUID(item["menu_item_id"]), status)


async def numbers_given(system: System) -> int:
    row = await system.one(ORDERS, "select coalesce(sum(last), 0) as given from cafe_orders.pickup_numbers")
    given: int = row["given"]
    return given


async def test_an_order_has_the_current_price_and_a_pickup_number_and_is_in_the_report(
    system: System, kim: Caller
) -> None:
    item = await system.done(register_item(price=4500, name="Latte"))
    request_id = uuid4()

    order = await system.done(place_order(item, kim, quantity=2, expected=4500), id=request_id)

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
    assert await orders_of(system, kim) == [order]
    await wait_for_view(system, item, orders_today=1)
    assert await order_events(system, order) == ["order_placed"]


# -- the copy in orders, and the menu


async def test_an_item_known_as_sold_out_is_refused_without_a_query_to_the_menu(
    system: System, kim: Caller, quotes: list[str]
) -> None:
    item = await known_item(system, status=SOLD_OUT)

    refusal = await system.refused(place_order(item, kim))

    assert (refusal, quotes) == ({"code": "sold_out"}, [])
    assert await orders_of(system, kim) == []


async def test_an_item_known_as_available_is_decided_by_the_menu(
    system: System, kim: Caller, quotes: list[str]
) -> None:
    item = await known_item(system, status=SOLD_OUT)
    await set_known_status(system, item, AVAILABLE)

    refusal = await system.refused(place_order(item, kim))

    assert (refusal, len(quotes)) == ({"code": "sold_out"}, 1)
    assert await orders_of(system, kim) == []
    await set_known_status(system, item, SOLD_OUT)


async def test_an_item_that_orders_does_not_know_yet_is_decided_by_the_menu(
    system: System, kim: Caller, quotes: list[str]
) -> None:
    item = await known_item(system)
    query = "delete from cafe_orders.menu_items where menu_item_id = $1"
    await system.rows(ORDERS, query, UUID(item["menu_item_id"]))

    order = await system.done(place_order(item, kim))

    assert (order["status"], len(quotes)) == ("ORDERED", 1)
    await system.publish(MenuItemRegistered(**item))
    await wait_for_known_item(system, item)


async def test_items_are_ordered_from_the_moment_they_are_registered(system: System) -> None:
    async def registered_and_ordered(price: int) -> int:
        item = await system.done(register_item(price=price))
        order = await system.done(place_order(item))
        return int(order["price"])

    prices = await asyncio.gather(*(registered_and_ordered(price) for price in range(1000, 1020)))

    assert prices == list(range(1000, 1020))


async def test_the_order_keeps_the_price_of_the_moment_when_it_was_placed(system: System, kim: Caller) -> None:
    item = await system.done(register_item(price=4500))
    await system.done(change_item(item, price=5000))
    order = await system.done(place_order(item, kim, quantity=3))
    await system.done(change_item(item, price=6000, name="Renamed"))

    assert (order["price"], order["total"]) == (5000, 15000)
    assert await order_of(system, order) == order


async def test_an_item_that_was_just_sold_out_is_never_ordered(system: System) -> None:
    for _ in range(5):
        item = await system.done(register_item())
        await system.done(change_item(item, status=SOLD_OUT))

        assert (await system.refused(place_order(item)))["code"] == "sold_out"


async def test_an_item_that_is_available_again_can_be_ordered(system: System) -> None:
    item = await known_item(system, status=SOLD_OUT)

    await wait_for_known_item(system, await system.done(change_item(item, status=AVAILABLE)))

    assert (await system.done(place_order(item)))["status"] == "ORDERED"


# -- refusals, which store nothing


async def test_an_item_without_a_price_is_not_for_sale_yet(system: System, kim: Caller) -> None:
    item = await system.done(register_item(price=0))
    before = await numbers_given(system)

    refusal = await system.refused(place_order(item, kim))
    await system.done(change_item(item, price=100))
    order = await system.done(place_order(item, kim))

    assert refusal == {"code": "not_for_sale"}
    assert await orders_of(system, kim) == [order]
    assert await numbers_given(system) == before + 1


@pytest.mark.parametrize("expected", [4499, 4501, 0])
async def test_another_price_than_expected_orders_nothing_and_the_refusal_has_the_price(
    system: System, kim: Caller, expected: int
) -> None:
    item = await system.done(register_item(price=4500))
    before = await numbers_given(system)

    refusal = await system.refused(place_order(item, kim, expected=expected))

    assert refusal == {"code": "price_changed", "price": 4500}
    assert (await orders_of(system, kim), await numbers_given(system)) == ([], before)


async def test_an_item_that_does_not_exist_is_not_found(system: System, kim: Caller) -> None:
    assert await system.refused(place_order({"menu_item_id": uuid4()}, kim)) == {"code": "not_found"}
    assert await orders_of(system, kim) == []


# -- late events


def item_changed(item: Json, status: str, version: int) -> MenuItemChanged:
    return MenuItemChanged(**(item | {"status": status, "version": version}))


@pytest.mark.parametrize(("older", "newer"), [(AVAILABLE, SOLD_OUT), (SOLD_OUT, AVAILABLE)])
async def test_a_late_older_event_brings_back_neither_available_nor_sold_out(
    system: System, kim: Caller, older: MenuItemStatus, newer: MenuItemStatus
) -> None:
    item = await system.done(register_item(status=older))
    changed = await system.done(change_item(item, status=newer))
    await wait_for_known_item(system, changed)
    await wait_for_view(system, item, version=2, status=newer)

    await system.publish(MenuItemRegistered(**item), item_changed(item, older, 2), MenuItemRegistered(**item))
    await system.wait_until_idle()

    copy = await system.one(
        ORDERS,
        "select status, version from cafe_orders.menu_items where menu_item_id = $1",
        UUID(item["menu_item_id"]),
    )
    assert tuple(copy) == (newer, 2)
    code, _ = await system.outcome(place_order(item, kim))
    assert code == ("sold_out" if newer == SOLD_OUT else "done")
    await wait_for_view(system, item, version=2, status=newer)


# -- repeating


async def test_fifty_requests_with_one_key_are_one_order_with_one_number(system: System, kim: Caller) -> None:
    item, request_id, before = await system.done(register_item()), uuid4(), await numbers_given(system)
    command = place_order(item, kim)

    answers = await asyncio.gather(*(system.outcome(command, id=request_id) for _ in range(50)))
    again = await system.request(command, id=request_id)

    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == "done"
    assert again.replayed
    assert await orders_of(system, kim) == [answers[0][1]]
    assert await numbers_given(system) == before + 1


async def test_a_repeated_order_has_the_first_answer_whatever_changed_in_the_menu(system: System, kim: Caller) -> None:
    item, request_id = await known_item(system), uuid4()
    order = await system.done(place_order(item, kim), id=request_id)
    for changes in ({"price": 9000}, {"price": 0}, {"status": SOLD_OUT}):
        item = await system.done(change_item(item, **changes))

        assert await system.done(place_order(item, kim), id=request_id) == order

    await wait_for_known_item(system, item)
    assert await system.done(place_order(item, kim), id=request_id) == order


async def test_a_repeated_refusal_is_the_same_when_its_reason_is_gone(system: System, kim: Caller) -> None:
    item, request_id = await system.done(register_item(price=0)), uuid4()
    refusal = await system.refused(place_order(item, kim), id=request_id)
    await system.done(change_item(item, price=100))

    assert await system.refused(place_order(item, kim), id=request_id) == refusal


async def test_a_key_used_again_for_something_else_is_refused_before_any_rule(system: System, kim: Caller) -> None:
    item, request_id = await system.done(register_item()), uuid4()
    await system.done(place_order(item, kim), id=request_id, digest="one")
    others = [
        place_order(item, kim, quantity=2),
        place_order(item, kim, expected=1),  # price_changed
        place_order(await system.done(register_item(price=0)), kim),  # not_for_sale
        place_order(await known_item(system, status=SOLD_OUT), kim),  # sold_out
        place_order({"menu_item_id": uuid4()}, kim),  # not_found
    ]

    refusals = [await system.refused(other, id=request_id, digest="other") for other in others]

    assert [refusal["code"] for refusal in refusals] == ["idempotency_key_reused"] * 5


async def test_an_order_whose_answer_is_forgotten_is_answered_as_it_is(system: System, kim: Caller) -> None:
    item = await system.done(register_item())

    first, again = await system.again_with_an_old_key("cafe.orders", place_order(item, kim))

    assert again == first
