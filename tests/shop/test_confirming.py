"""The seller's confirmation takes the stock of an order once, all of it or nothing."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Caller
from contracts.shop.deliveries import ListDeliveries
from contracts.shop.orders import PaymentConfirmed
from contracts.shop.products import RestockProduct
from tests.shop.helpers import (
    DELIVERIES,
    PRODUCTS,
    awaiting_payment,
    cancel,
    confirm,
    known_product,
    order_events,
    order_of,
    revive,
    settled,
    stock_of,
    transfer_of,
    wait_for_order,
)
from tests.support.system import STAFF, Json, System, customer

ANOTHER_SELLER = Caller(member_id="han", role="operator")


async def deliveries_of(system: System, *orders: Json) -> int:
    ids = [order["order_id"] for order in orders]
    row = await system.one(
        DELIVERIES, "select count(*) from shop_deliveries.deliveries where order_id = any($1::uuid[])", ids
    )
    count: int = row["count"]
    return count


async def test_another_amount_changes_nothing(system: System) -> None:
    product_id = await known_product(system, price=1000)
    order = await awaiting_payment(system, product_id, 2)

    refusal = await system.refused(confirm(order, amount=1999))

    assert (refusal["code"], refusal["expected"]) == ("amount_mismatch", 2000)
    assert await order_of(system, order) == order
    assert await stock_of(system, product_id) == 10


@pytest.mark.parametrize("stock", [0, 2])
async def test_less_than_the_quantity_is_out_of_stock_and_nothing_is_taken_or_delivered(
    system: System, stock: int
) -> None:
    product_id = await known_product(system, stock=stock)
    order = await awaiting_payment(system, product_id, 3)

    refusal = await system.refused(confirm(order))
    again = await system.refused(confirm(order))
    await system.wait_until_idle()

    assert (refusal["code"], refusal["current_status"]) == ("out_of_stock", "PAYMENT_CANCELLED")
    assert (again["code"], again["allowed_actions"]) == ("out_of_stock", ["revival"])
    cancelled = await order_of(system, order)
    assert (cancelled["status"], cancelled["reason"], cancelled["delivery"]) == (
        "PAYMENT_CANCELLED",
        "out_of_stock",
        None,
    )
    transfer = await transfer_of(system, order)
    assert (transfer["status"], transfer["refund_owed"]) == ("TRANSFER_CANCELLED", True)
    assert cancelled["transfer"]["refund_owed"] is True
    assert await stock_of(system, product_id) == stock
    assert await deliveries_of(system, order) == 0
    assert (await system.refused(cancel(order)))["code"] == "wrong_state"


async def test_a_round_that_found_no_stock_is_closed_for_good_and_the_next_one_takes(system: System) -> None:
    product_id = await known_product(system, stock=1)
    order = await awaiting_payment(system, product_id, 3)
    await system.refused(confirm(order))
    await system.wait_until_idle()
    closed = await system.one(
        PRODUCTS, "select state, returned from shop_products.takes where order_id = $1", order["order_id"]
    )
    await system.done(RestockProduct(product_id=product_id, quantity=9))

    revived = await system.done(revive(order))
    confirmed = await system.done(confirm(order, amount=3000))

    assert tuple(closed) == ("RETURNED", 0)
    assert [body["quantity"] for body in system.events_of("shop.products.stock_returned")][-1] == 0
    assert (revived["status"], revived["round"], revived["cancelled_by"]) == ("AWAITING_PAYMENT", 2, None)
    assert (confirmed["status"], confirmed["round"]) == ("PAYMENT_CONFIRMED", 2)
    assert await stock_of(system, product_id) == 7
    await wait_for_order(
        system, order, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED", "refund_owed": False}
    )


async def test_confirmed_by_two_sellers_twenty_times_at_once_is_one_decrement_and_one_delivery(system: System) -> None:
    product_id = await known_product(system, stock=10)
    order = await awaiting_payment(system, product_id, 4)
    commands = [confirm(order, seller=seller) for seller in (STAFF, ANOTHER_SELLER) for _ in range(10)]

    outcomes = await asyncio.gather(*(settled(system, command) for command in commands))
    await system.wait_until_idle()

    assert {code for code, _ in outcomes} == {"done"}
    assert await stock_of(system, product_id) == 6
    assert await deliveries_of(system, order) == 1
    taken = system.events_of("shop.products.stock_taken", order_id=order["order_id"])
    assert {body["version"] for body in taken} == {2}
    assert (await order_events(system, order)).count("payment_confirmed") == 1


async def test_confirming_what_is_confirmed_is_answered_with_the_order_as_it_is(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system), 1)
    request_id = uuid4()
    first = await system.done(confirm(order), id=request_id)
    delivering = await wait_for_order(system, order, status="DELIVERING", delivery={"status": "DELIVERING"})

    again = await system.done(confirm(order))
    repeated = await system.done(confirm(order), id=request_id)

    assert again == delivering
    assert repeated == first


async def test_of_ten_orders_at_once_as_many_are_confirmed_as_there_is_stock_for(system: System) -> None:
    product_id = await known_product(system, stock=7)
    orders = [await awaiting_payment(system, product_id, 2) for _ in range(10)]

    outcomes = await asyncio.gather(*(settled(system, confirm(order)) for order in orders))
    await system.wait_until_idle()

    assert sorted(code for code, _ in outcomes) == ["done"] * 3 + ["out_of_stock"] * 7
    assert await stock_of(system, product_id) == 1
    assert await deliveries_of(system, *orders) == 3


async def test_of_a_cancellation_and_a_confirmation_at_once_exactly_one_wins(system: System) -> None:
    product_id = await known_product(system, stock=100)
    kim = customer()
    orders = [await awaiting_payment(system, product_id, 1, kim) for _ in range(12)]

    async def rivals(order: Json) -> tuple[str, str]:
        commands: list[Any] = [confirm(order), cancel(order, kim)]
        (confirmed, _), (cancelled, _) = await asyncio.gather(*(settled(system, command) for command in commands))
        return confirmed, cancelled

    outcomes = await asyncio.gather(*(rivals(order) for order in orders))
    await system.wait_until_idle()

    assert set(outcomes) <= {("done", "wrong_state"), ("wrong_state", "done")}
    for order, (confirmed, _) in zip(orders, outcomes, strict=True):
        won = confirmed == "done"
        expected = {"status": "TRANSFER_CONFIRMED" if won else "TRANSFER_CANCELLED", "refund_owed": not won}
        await wait_for_order(system, order, status="DELIVERING" if won else "ORDER_CANCELLED", transfer=expected)
    won_by_sellers = sum(confirmed == "done" for confirmed, _ in outcomes)
    assert await stock_of(system, product_id) == 100 - won_by_sellers
    assert await deliveries_of(system, *orders) == won_by_sellers


async def test_money_for_an_order_that_its_buyer_has_cancelled_is_owed_back(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(cancel(order, kim))

    refusals = [await system.refused(confirm(order)) for _ in range(2)]

    assert [refusal["code"] for refusal in refusals] == ["wrong_state"] * 2
    await wait_for_order(system, order, status="ORDER_CANCELLED", transfer={"refund_owed": True})
    await system.wait_until_idle()
    assert (await order_events(system, order))[-2:] == ["order_cancelled", "late_transfer_noted"]
    assert (await system.refused(revive(order)))["code"] == "wrong_state"


async def test_a_payment_event_that_is_repeated_makes_one_delivery(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system), 1)
    await system.done(confirm(order))
    await wait_for_order(system, order, status="DELIVERING")
    (body,) = system.events_of(PaymentConfirmed.topic, order_id=order["order_id"])
    event = PaymentConfirmed(**body)

    await system.publish(event, event)
    await system.wait_until_idle()

    assert await deliveries_of(system, order) == 1
    assert await order_events(system, order, DELIVERIES) == ["delivery_prepared", "delivery_started"]
    listed = (await system.done(ListDeliveries(limit=200)))["items"]
    assert len([one for one in listed if one["order_id"] == order["order_id"]]) == 1


async def test_a_confirmation_is_stored_and_no_event_has_the_depositor(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system, price=700), 1)
    await system.done(confirm(order, amount=700, seller=ANOTHER_SELLER))

    kept = await system.one(
        "shop.orders",
        "select round, seller, amount, depositor from shop_orders.confirmations where order_id = $1",
        order["order_id"],
    )

    assert tuple(kept) == (1, "han", 700, "Kim")

    assert "payment_confirmed" in await order_events(system, order)
    assert not [body for _, body in system.events if "Kim" in str(body)]
