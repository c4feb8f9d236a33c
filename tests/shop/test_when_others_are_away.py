"""What goes on while a context is down, and what waits and then goes on by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from contracts.base import Caller, Message
from contracts.shop.deliveries import (
    DeliveryEvent,
    DeliveryPrepared,
    DeliveryStarted,
    DeliveryStatus,
    ListDeliveries,
)
from contracts.shop.order_status import ListOrderStatus
from contracts.shop.orders import ListOrders
from contracts.shop.products import ListProducts
from contracts.shop.states import OrderStatus
from tests.flows.renting import tell
from tests.shop.selling import (
    DELIVERIES,
    ORDERS,
    PRODUCTS,
    SHOP,
    Thing,
    cancel,
    confirm,
    order_of,
    ordered,
    ordering,
    product,
    revive,
    screen_of,
    shown,
    stock_of,
    told_of,
    until,
)
from tests.support.town import Town, eventually
from workers.runtime.processing import failpoints

ALL = ("payments", *SHOP)


@pytest.fixture(autouse=True)
async def _all_at_work(town: Town) -> AsyncIterator[None]:
    """Every context runs, and is known to, when a story begins."""
    yield
    await town.start(*(name for name in ALL if name not in town.contexts))
    looks: list[Message] = [ListProducts(), ListOrders(), ListDeliveries(), ListOrderStatus()]
    for look in looks:
        await eventually(partial(_answers, town, look))


async def _answers(town: Town, look: Message) -> bool:
    return (await town.ask(look, within=1.0, budget=0.8)).kind == "done"


async def test_orders_are_taken_while_payments_products_and_deliveries_are_down(town: Town, kim: Caller) -> None:
    product_id = await product(town, price=1200)
    await town.stop("payments", PRODUCTS, DELIVERIES)

    order = await town.done(ordering(product_id, 2, kim))

    assert (order["status"], order["total"], order["transfer"]["status"]) == ("ORDER_PLACED", 2400, None)
    assert (await shown(town, order, status="ORDER_PLACED"))["next_action"] == "TRANSFER"
    await town.start("payments")
    await until(town, order, status="AWAITING_PAYMENT", transfer={"status": "AWAITING_TRANSFER"})


async def test_an_order_is_confirmed_or_cancelled_while_payments_is_down_and_its_record_follows(
    town: Town, kim: Caller
) -> None:
    product_id = await product(town)
    await town.stop("payments")
    paid, cancelled = [await town.done(ordering(product_id, 1, kim)) for _ in range(2)]

    assert (await town.done(confirm(paid)))["status"] == "PAYMENT_CONFIRMED"
    assert (await town.done(cancel(cancelled, kim)))["status"] == "ORDER_CANCELLED"

    await until(town, paid, status="DELIVERING", transfer={"status": None})
    await town.start("payments")
    await until(town, paid, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED"})
    await until(town, cancelled, status="ORDER_CANCELLED", transfer={"status": "TRANSFER_CANCELLED"})


async def test_products_is_away_the_order_is_confirming_and_finishes_by_itself(town: Town, kim: Caller) -> None:
    product_id = await product(town, stock=3)
    order = await ordered(town, product_id, 2, kim)
    await town.stop(PRODUCTS)
    request_id, started = uuid4(), time.monotonic()

    refusal = await town.refused(confirm(order), id=request_id)
    took = time.monotonic() - started
    repeated = [await town.refused(confirm(order), id=id) for id in (request_id, uuid4(), uuid4())]
    cancelling = await town.refused(cancel(order, kim))

    assert (refusal["code"], refusal["current_status"]) == ("still_confirming", "CONFIRMING")
    assert took < 3
    assert {one["code"] for one in repeated} == {"still_confirming"}
    assert (cancelling["code"], cancelling["current_status"]) == ("wrong_state", "CONFIRMING")
    assert (await shown(town, order, status="CONFIRMING"))["next_action"] == "WAIT_FOR_STOCK"
    await town.start(PRODUCTS)
    await until(town, order, status="DELIVERING")
    await town.wait_until_idle()
    assert await stock_of(town, product_id) == 1
    assert (await town.done(confirm(order), id=request_id))["order_id"] == order["order_id"]
    assert (await told_of(town, order)).count("payment_confirmed") == 1


async def test_products_is_away_and_there_was_no_stock(town: Town) -> None:
    order = await ordered(town, await product(town, stock=0), 1)
    await town.stop(PRODUCTS)
    await town.refused(confirm(order))

    await town.start(PRODUCTS)

    await until(town, order, status="PAYMENT_CANCELLED", transfer={"status": "TRANSFER_CANCELLED", "refund_owed": True})


async def test_an_answer_of_products_that_nobody_heard_takes_the_stock_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    product_id = await product(town, stock=5)
    order = await ordered(town, product_id, 2)
    released, held = asyncio.Event(), list[str]()

    async def hold(context: str, place: str) -> None:
        if (context, place) == (PRODUCTS, "committed") and not held:
            held.append(place)
            await released.wait()

    monkeypatch.setattr(failpoints, "hook", hold)
    refusal = await town.refused(confirm(order))
    taken = await stock_of(town, product_id)
    released.set()

    assert (refusal["code"], taken) == ("still_confirming", 3)
    await until(town, order, status="DELIVERING")
    assert await stock_of(town, product_id) == 3


async def test_stock_that_comes_for_a_round_that_is_over_is_put_back_and_the_round_is_closed(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    product_id = await product(town, stock=5)
    order = await ordered(town, product_id, 2)

    async def end_the_round(context: str, at: str) -> None:
        if (context, at) == (ORDERS, "heard"):
            await _set_status(town, order, "ORDER_CANCELLED")

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hook", end_the_round)
        refusal = await town.refused(confirm(order))
    await eventually(partial(_has_stock, town, product_id, 5))
    await _set_status(town, order, "CONFIRMING")
    closed = await town.refused(confirm(order))

    assert (refusal["code"], closed["code"], closed["reason"]) == ("wrong_state", "out_of_stock", "round_closed")
    assert await stock_of(town, product_id) == 5


async def _set_status(town: Town, order: Thing, status: str) -> None:
    """As no handler would."""
    await town.rows(ORDERS, "update shop_orders.orders set status = $2 where order_id = $1", order["order_id"], status)


async def _has_stock(town: Town, product_id: UUID, stock: int) -> bool:
    return await stock_of(town, product_id) == stock


@pytest.mark.parametrize("place", ["started", "heard"])
async def test_orders_that_dies_while_it_confirms_finishes_the_order_by_itself(
    town: Town, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    product_id = await product(town, stock=5)
    order = await ordered(town, product_id, 2)
    reached = asyncio.Event()

    async def stall(context: str, at: str) -> None:
        if (context, at) == (ORDERS, place) and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(failpoints, "hook", stall)
    confirming = asyncio.create_task(town.ask(confirm(order), within=2.0, budget=1.5))
    await reached.wait()
    await town.kill(ORDERS)
    await town.start(ORDERS)

    await until(town, order, status="DELIVERING")
    await confirming
    assert await stock_of(town, product_id) == 3


async def test_a_confirmation_that_waited_never_begins_a_later_round(town: Town) -> None:
    order = await ordered(town, await product(town, stock=0), 1)
    await town.stop(PRODUCTS)
    request_id = uuid4()
    await town.refused(confirm(order), id=request_id)
    await _due(town, request_id, "1 hour")
    await town.start(PRODUCTS)

    async def out_of_stock() -> bool:
        return (await town.refused(confirm(order)))["code"] == "out_of_stock"

    await eventually(out_of_stock)
    revived = await town.done(revive(order))

    await _due(town, request_id, "0 hours")

    assert await eventually(partial(_state, town, request_id)) == "done"
    assert (await order_of(town, order))["version"] == revived["version"]


async def _due(town: Town, request_id: UUID, after: str) -> None:
    query = "update shop_orders.inbox set due_at = now() + $2::text::interval where id = $1 and state = 'waiting'"
    assert await town.rows(ORDERS, f"{query} returning id", request_id, after)


async def _state(town: Town, request_id: UUID) -> Any:
    row = await town.one(ORDERS, "select state from shop_orders.inbox where id = $1", request_id)
    return row["state"] if row["state"] == "done" else None


async def test_while_deliveries_is_away_the_order_waits_and_then_goes_on_by_itself(town: Town) -> None:
    order = await ordered(town, await product(town))
    await town.stop(DELIVERIES)

    await town.done(confirm(order))
    waiting = await shown(town, order, status="PAYMENT_CONFIRMED")
    await town.start(DELIVERIES)

    assert (waiting["delivery"], waiting["next_action"]) == (None, "WAIT_FOR_DELIVERY")
    await until(town, order, status="DELIVERING")


async def test_a_delivery_that_died_while_it_was_prepared_goes_on_by_itself(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await ordered(town, await product(town))
    reached = asyncio.Event()

    async def stall(context: str, at: str) -> None:
        if (context, at) == (DELIVERIES, "claimed") and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(failpoints, "hook", stall)
    await town.done(confirm(order))
    await reached.wait()
    await town.kill(DELIVERIES)
    await town.start(DELIVERIES)

    await until(town, order, status="DELIVERING")
    assert await told_of(town, order, DELIVERIES) == ["delivery_prepared", "delivery_started"]


async def test_news_of_a_delivery_in_the_wrong_order_and_twice_bring_the_order_on_once(town: Town, kim: Caller) -> None:
    order = await ordered(town, await product(town), 1, kim)
    await town.stop(DELIVERIES)
    confirmed = await town.done(confirm(order))
    prepared, started = (_news_of_delivery(kind, order, version) for kind, version in _DELIVERY)

    await tell(town, started)
    await town.wait_until_idle()
    delivering = await until(town, order, status="DELIVERING", delivery={"status": "DELIVERING"})
    await tell(town, prepared, started, prepared)
    await town.wait_until_idle()
    await town.start(DELIVERIES)
    await town.wait_until_idle()

    assert delivering["version"] == confirmed["version"] + 1
    assert (await order_of(town, order)) == delivering


_DELIVERY: list[tuple[type[DeliveryEvent], int]] = [(DeliveryPrepared, 1), (DeliveryStarted, 2)]


def _news_of_delivery(kind: type[DeliveryEvent], order: Thing, version: int) -> DeliveryEvent:
    """What deliveries will say of the order when it is back."""
    status = "PREPARING" if version == 1 else "DELIVERING"
    return kind(
        delivery_id=uuid5(UUID(order["order_id"]), "delivery"),
        order_id=order["order_id"],
        order_status=OrderStatus(status),
        member_id=order["member_id"],
        product_id=order["product_id"],
        quantity=order["quantity"],
        status=DeliveryStatus(status),
        created_at=order["created_at"],
        modified_at=order["modified_at"],
        version=version,
    )


async def test_the_one_screen_answers_while_all_its_writers_are_down(town: Town, kim: Caller) -> None:
    order = await ordered(town, await product(town, name="Kettle"), 1, kim)
    await town.done(confirm(order))
    before = await shown(town, order, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED"})
    await town.stop("payments", PRODUCTS, ORDERS, DELIVERIES)

    (item,) = (await town.done(ListOrderStatus(member_id=kim.member_id)))["items"]
    after: Thing = await screen_of(town, order)

    assert (item["status"], item["product"]["name"]) == ("DELIVERING", "Kettle")
    assert {**after, "as_of": ""} == {**before, "as_of": ""}


async def test_two_of_each_context_do_everything_once(town: Town) -> None:
    await town.start(*ALL, replica=" 2")
    product_id = await product(town, stock=12)
    orders = [await ordered(town, product_id, 2) for _ in range(8)]

    outcomes = await asyncio.gather(*(town.ask(confirm(order)) for order in orders for _ in range(2)))
    await town.wait_until_idle()

    assert {reply.kind for reply in outcomes} == {"done", "refused"}
    ended = [(await order_of(town, order))["status"] for order in orders]
    assert sorted(ended) == ["DELIVERING"] * 6 + ["PAYMENT_CANCELLED"] * 2
    assert await stock_of(town, product_id) == 0
    await town.stop(*(f"{name} 2" for name in ALL))
