"""An order from its placement to its receipt, and what buyer and seller may do in each state."""

from __future__ import annotations

from uuid import uuid4

import pytest

from contracts.base import Caller
from contracts.shop.deliveries import ListDeliveries
from contracts.shop.orders import ListOrders, ShowOrder
from contracts.shop.products import ChangeProduct, ProductStatus, RestockProduct
from tests.shop.helpers import (
    CLOSE,
    DELIVERIES,
    ORDERS,
    awaiting_payment,
    cancel,
    confirm,
    confirm_receipt,
    fire_timers,
    known_product,
    order_events,
    order_of,
    place_order,
    revive,
    stock_of,
    transfer_of,
    wait_for_known_product,
    wait_for_order,
    wait_for_view,
)
from tests.support.system import STAFF, System, customer


async def test_an_order_passes_through_every_status(system: System, kim: Caller) -> None:
    product_id = await known_product(system, stock=5, price=2500)

    placed = await system.done(place_order(product_id, 2, kim))
    await wait_for_order(system, placed, status="AWAITING_PAYMENT", transfer={"status": "AWAITING_TRANSFER"})
    confirmed = await system.done(confirm(placed, amount=5000))
    delivering = await wait_for_order(system, placed, status="DELIVERING", delivery={"status": "DELIVERING"})
    closed = await system.done(confirm_receipt(placed, kim))

    assert (placed["status"], placed["unit_price"], placed["total"]) == ("ORDER_PLACED", 2500, 5000)
    assert (confirmed["status"], delivering["round"], closed["status"]) == ("PAYMENT_CONFIRMED", 1, "CLOSED")
    assert await stock_of(system, product_id) == 3
    assert await order_events(system, placed) == [
        "order_placed",
        "payment_awaited",
        "confirmation_started",
        "payment_confirmed",
        "order_preparing",
        "order_delivering",
        "order_closed",
    ]
    await system.wait_until_idle()
    assert await order_events(system, placed, DELIVERIES) == [
        "delivery_prepared",
        "delivery_started",
        "delivery_completed",
    ]
    assert await order_events(system, placed, "payments") == ["transfer_awaited", "transfer_confirmed"]
    transfer = await transfer_of(system, placed)
    assert (transfer["status"], transfer["refund_owed"]) == ("TRANSFER_CONFIRMED", False)


async def test_every_event_about_an_order_has_the_status_of_the_order(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(confirm(order))
    await wait_for_order(system, order, status="DELIVERING")
    await system.wait_until_idle()

    events = [(topic, body) for topic, body in system.events if body.get("order_id") == order["order_id"]]

    assert {topic.rpartition(".")[0] for topic, _ in events} == {"shop.orders", "shop.products", DELIVERIES, "payments"}
    assert all(body["order_status"] for _, body in events)
    assert {body["order_status"] for topic, body in events if topic == "shop.products.stock_taken"} == {"CONFIRMING"}


async def test_the_transfer_has_account_and_deadline_of_the_settings(system: System, kim: Caller) -> None:
    order = await system.done(place_order(await known_product(system), 1, kim))

    transfer = order["transfer"]

    assert transfer["bank_account"] == system.settings.shop_bank_account
    assert transfer["reference"] == f"YK-{order['order_id'][:8].upper()}"
    row = await system.one(
        "shop.orders",
        """select extract(epoch from transfer_deadline - created_at) / 3600 as hours from shop_orders.orders
        where order_id = $1""",
        order["order_id"],
    )
    assert row["hours"] == system.settings.shop_transfer_hours


async def test_the_price_is_kept_at_ordering(system: System, kim: Caller) -> None:
    product_id = await known_product(system, price=1000)
    order = await awaiting_payment(system, product_id, 3, kim)

    await system.done(ChangeProduct(product_id=product_id, price=9000))
    await wait_for_known_product(system, product_id, 2)

    assert (await system.done(confirm(order, amount=3000)))["total"] == 3000
    assert (await system.done(place_order(product_id, 1, kim)))["unit_price"] == 9000


async def test_an_order_is_placed_whatever_the_stock(system: System) -> None:
    order = await system.done(place_order(await known_product(system, stock=0), 100))

    assert order["status"] == "ORDER_PLACED"


async def test_a_retired_product_is_not_sold_and_an_unknown_one_is_not_found(system: System) -> None:
    product_id = await known_product(system)
    await system.done(ChangeProduct(product_id=product_id, status=ProductStatus.RETIRED))
    await wait_for_known_product(system, product_id, 2)

    retired = await system.refused(place_order(product_id))
    unknown = await system.refused(place_order(uuid4()))

    assert (retired["code"], unknown["code"]) == ("product_not_on_sale", "not_found")


async def test_an_order_of_a_product_that_was_retired_since_is_still_delivered(system: System) -> None:
    product_id = await known_product(system, stock=1)
    order = await awaiting_payment(system, product_id)
    await system.done(ChangeProduct(product_id=product_id, status=ProductStatus.RETIRED))

    await system.done(confirm(order))

    await wait_for_order(system, order, status="DELIVERING")


async def test_a_delivery_of_goods_raises_the_stock(system: System) -> None:
    product_id = await known_product(system, stock=1)

    restocked = await system.done(RestockProduct(product_id=product_id, quantity=4))

    assert (restocked["stock"], restocked["version"]) == (5, 2)
    assert (await system.refused(RestockProduct(product_id=uuid4(), quantity=4)))["code"] == "not_found"


@pytest.mark.parametrize("whose", ["the buyer's", "the seller's"])
async def test_before_confirmation_an_order_can_be_cancelled(system: System, kim: Caller, whose: str) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    caller = kim if whose == "the buyer's" else STAFF

    cancelled = await system.done(cancel(order, caller, "changed my mind"))
    again = await system.done(cancel(order, caller))

    assert (cancelled["status"], cancelled["reason"]) == ("ORDER_CANCELLED", "changed my mind")
    assert cancelled["cancelled_by"] == ("MEMBER" if caller is kim else "STAFF")
    assert again == cancelled
    await wait_for_order(system, order, transfer={"status": "TRANSFER_CANCELLED", "refund_owed": False})


async def test_after_confirmation_an_order_cannot_be_cancelled_and_the_refusal_has_its_status(
    system: System, kim: Caller
) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(confirm(order))
    await wait_for_order(system, order, status="DELIVERING")

    refusal = await system.refused(cancel(order, kim))

    assert (refusal["code"], refusal["current_status"]) == ("wrong_state", "DELIVERING")
    assert refusal["allowed_actions"] == ["receipt-confirmation"]


async def test_the_receipt_is_confirmed_by_the_buyer_only_and_only_once_it_is_on_its_way(
    system: System, kim: Caller, lee: Caller
) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)

    too_early = await system.refused(confirm_receipt(order, kim))
    await system.done(confirm(order))
    await wait_for_order(system, order, status="DELIVERING")
    others = [await system.refused(confirm_receipt(order, who)) for who in (lee, STAFF)]
    closed = await system.done(confirm_receipt(order, kim))
    again = await system.done(confirm_receipt(order, kim))

    assert (too_early["code"], too_early["current_status"]) == ("wrong_state", "AWAITING_PAYMENT")
    assert [refusal["code"] for refusal in others] == ["not_found"] * 2
    assert (closed["status"], again["version"]) == ("CLOSED", closed["version"])


async def test_a_delivery_that_the_buyer_does_not_confirm_is_closed_by_its_timer(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(confirm(order))
    delivering = await wait_for_order(system, order, status="DELIVERING")
    days = await system.one(
        "shop.orders",
        """select extract(epoch from i.due_at - o.modified_at) / 86400 as timer,
             extract(epoch from o.receipt_deadline - o.modified_at) / 86400 as deadline
           from shop_orders.orders o join shop_orders.inbox i on i.topic = 'shop.orders.close_order'
             and i.body::json ->> 'order_id' = o.order_id::text where o.order_id = $1""",
        order["order_id"],
    )

    await fire_timers(system, order, CLOSE)
    closed = await wait_for_order(system, order, status="CLOSED", reason="receipt_not_confirmed")

    assert (days["timer"], days["deadline"]) == (14, 14)
    assert closed["version"] == delivering["version"] + 1
    assert (await system.done(confirm_receipt(order, kim)))["version"] == closed["version"]


async def test_other_peoples_orders_are_not_found(system: System, kim: Caller, lee: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    commands = [ShowOrder(order_id=order["order_id"], caller=lee), cancel(order, lee), confirm_receipt(order, lee)]
    unknown = {"order_id": str(uuid4())}
    commands += [confirm(unknown), revive(unknown), cancel(unknown)]

    refusals = [await system.refused(command) for command in commands]

    assert {refusal["code"] for refusal in refusals} == {"not_found"}
    assert (await system.done(ListOrders(member_id=lee.member_id)))["items"] == []
    mine = (await system.done(ListOrders(member_id=kim.member_id)))["items"]
    assert mine == [await order_of(system, order)]


async def test_orders_and_deliveries_are_listed_by_status_newest_first_page_by_page(system: System) -> None:
    kim = customer()
    product_id = await known_product(system)
    made = [await system.done(place_order(product_id, 1, kim)) for _ in range(3)]
    await system.done(confirm(made[0]))
    await wait_for_view(system, made[0], status="DELIVERING")

    first = await system.done(ListOrders(member_id=kim.member_id, limit=2))
    rest = await system.done(ListOrders(member_id=kim.member_id, limit=2, cursor=first["next_cursor"]))
    delivering = await system.done(ListDeliveries(status="DELIVERING", limit=1))

    listed = [order["order_id"] for order in first["items"] + rest["items"]]
    assert listed == [order["order_id"] for order in reversed(made)]
    assert rest["next_cursor"] is None
    assert [one["order_id"] for one in delivering["items"]] == [made[0]["order_id"]]
    assert (await system.done(ListDeliveries(status="PREPARING")))["items"] == []


async def test_another_price_than_expected_orders_nothing(system: System, kim: Caller) -> None:
    product_id = await known_product(system, price=1000)

    refusal = await system.refused(place_order(product_id, 3, kim).model_copy(update={"expected_price": 1000}))
    order = await system.done(place_order(product_id, 3, kim).model_copy(update={"expected_price": 3000}))

    assert refusal == {"code": "price_changed", "price": 3000}
    assert order["total"] == 3000


async def test_a_product_of_another_version_is_not_changed(system: System) -> None:
    product_id = await known_product(system)

    stale = await system.refused(ChangeProduct(product_id=product_id, price=1, expected_version=2))
    changed = await system.done(ChangeProduct(product_id=product_id, price=1, expected_version=1))

    assert stale == {"code": "stale_version", "version": 1}
    assert (changed["price"], changed["version"]) == (1, 2)


async def test_a_product_of_another_version_is_not_restocked(system: System) -> None:
    product_id = await known_product(system, stock=5)

    stale = await system.refused(RestockProduct(product_id=product_id, quantity=3, expected_version=2))
    restocked = await system.done(RestockProduct(product_id=product_id, quantity=3, expected_version=1))

    assert stale == {"code": "stale_version", "version": 1}
    assert (restocked["stock"], restocked["version"]) == (8, 2)


async def test_an_order_whose_answer_is_forgotten_is_answered_as_it_is(system: System, kim: Caller) -> None:
    product_id = await known_product(system)

    first, again = await system.again_with_an_old_key(ORDERS, place_order(product_id, 1, kim))

    assert again["order_id"] == first["order_id"]
