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
from tests.support.system import System, eventually
from workers.runtime.processing import failpoints

ALL = ("payments", *SHOP)


@pytest.fixture(autouse=True)
async def _all_at_work(system: System) -> AsyncIterator[None]:
    """Every context runs, and is known to, when a story begins."""
    yield
    await system.start(*(name for name in ALL if name not in system.contexts))
    looks: list[Message] = [ListProducts(), ListOrders(), ListDeliveries(), ListOrderStatus()]
    for look in looks:
        await eventually(partial(_answers, system, look))


async def _answers(system: System, look: Message) -> bool:
    return (await system.request(look, within=1.0, budget=0.8)).kind == "done"


async def test_orders_are_taken_while_payments_products_and_deliveries_are_down(system: System, kim: Caller) -> None:
    product_id = await product(system, price=1200)
    await system.stop("payments", PRODUCTS, DELIVERIES)

    order = await system.done(ordering(product_id, 2, kim))

    assert (order["status"], order["total"], order["transfer"]["status"]) == ("ORDER_PLACED", 2400, None)
    assert (await shown(system, order, status="ORDER_PLACED"))["next_action"] == "TRANSFER"
    await system.start("payments")
    await until(system, order, status="AWAITING_PAYMENT", transfer={"status": "AWAITING_TRANSFER"})


async def test_an_order_is_confirmed_or_cancelled_while_payments_is_down_and_its_record_follows(
    system: System, kim: Caller
) -> None:
    product_id = await product(system)
    await system.stop("payments")
    paid, cancelled = [await system.done(ordering(product_id, 1, kim)) for _ in range(2)]

    assert (await system.done(confirm(paid)))["status"] == "PAYMENT_CONFIRMED"
    assert (await system.done(cancel(cancelled, kim)))["status"] == "ORDER_CANCELLED"

    await until(system, paid, status="DELIVERING", transfer={"status": None})
    await system.start("payments")
    await until(system, paid, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED"})
    await until(system, cancelled, status="ORDER_CANCELLED", transfer={"status": "TRANSFER_CANCELLED"})


async def test_products_is_away_the_order_is_confirming_and_finishes_by_itself(system: System, kim: Caller) -> None:
    product_id = await product(system, stock=3)
    order = await ordered(system, product_id, 2, kim)
    await system.stop(PRODUCTS)
    request_id, started = uuid4(), time.monotonic()

    refusal = await system.refused(confirm(order), id=request_id)
    took = time.monotonic() - started
    repeated = [await system.refused(confirm(order), id=id) for id in (request_id, uuid4(), uuid4())]
    cancelling = await system.refused(cancel(order, kim))

    assert (refusal["code"], refusal["current_status"]) == ("still_confirming", "CONFIRMING")
    assert took < 3
    assert {one["code"] for one in repeated} == {"still_confirming"}
    assert (cancelling["code"], cancelling["current_status"]) == ("wrong_state", "CONFIRMING")
    assert (await shown(system, order, status="CONFIRMING"))["next_action"] == "WAIT_FOR_STOCK"
    await system.start(PRODUCTS)
    await until(system, order, status="DELIVERING")
    await system.wait_until_idle()
    assert await stock_of(system, product_id) == 1
    assert (await system.done(confirm(order), id=request_id))["order_id"] == order["order_id"]
    assert (await told_of(system, order)).count("payment_confirmed") == 1


async def test_products_is_away_and_there_was_no_stock(system: System) -> None:
    order = await ordered(system, await product(system, stock=0), 1)
    await system.stop(PRODUCTS)
    await system.refused(confirm(order))

    await system.start(PRODUCTS)

    await until(
        system, order, status="PAYMENT_CANCELLED", transfer={"status": "TRANSFER_CANCELLED", "refund_owed": True}
    )


async def test_an_answer_of_products_that_nobody_heard_takes_the_stock_once(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    product_id = await product(system, stock=5)
    order = await ordered(system, product_id, 2)
    released, held = asyncio.Event(), list[str]()

    async def hold(context: str, place: str) -> None:
        if (context, place) == (PRODUCTS, "committed") and not held:
            held.append(place)
            await released.wait()

    monkeypatch.setattr(failpoints, "hook", hold)
    refusal = await system.refused(confirm(order))
    taken = await stock_of(system, product_id)
    released.set()

    assert (refusal["code"], taken) == ("still_confirming", 3)
    await until(system, order, status="DELIVERING")
    assert await stock_of(system, product_id) == 3


async def test_stock_that_comes_for_a_round_that_is_over_is_put_back_and_the_round_is_closed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    product_id = await product(system, stock=5)
    order = await ordered(system, product_id, 2)

    async def end_the_round(context: str, at: str) -> None:
        if (context, at) == (ORDERS, "heard"):
            await _set_status(system, order, "ORDER_CANCELLED")

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hook", end_the_round)
        refusal = await system.refused(confirm(order))
    await eventually(partial(_has_stock, system, product_id, 5))
    await _set_status(system, order, "CONFIRMING")
    closed = await system.refused(confirm(order))

    assert (refusal["code"], closed["code"], closed["reason"]) == ("wrong_state", "out_of_stock", "round_closed")
    assert await stock_of(system, product_id) == 5


async def _set_status(system: System, order: Thing, status: str) -> None:
    """As no handler would."""
    await system.rows(
        ORDERS, "update shop_orders.orders set status = $2 where order_id = $1", order["order_id"], status
    )


async def _has_stock(system: System, product_id: UUID, stock: int) -> bool:
    return await stock_of(system, product_id) == stock


@pytest.mark.parametrize("place", ["started", "heard"])
async def test_orders_that_dies_while_it_confirms_finishes_the_order_by_itself(
    system: System, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    product_id = await product(system, stock=5)
    order = await ordered(system, product_id, 2)
    reached = asyncio.Event()

    async def stall(context: str, at: str) -> None:
        if (context, at) == (ORDERS, place) and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(failpoints, "hook", stall)
    confirming = asyncio.create_task(system.request(confirm(order), within=2.0, budget=1.5))
    await reached.wait()
    await system.kill(ORDERS)
    await system.start(ORDERS)

    await until(system, order, status="DELIVERING")
    await confirming
    assert await stock_of(system, product_id) == 3


async def test_a_confirmation_that_waited_never_begins_a_later_round(system: System) -> None:
    order = await ordered(system, await product(system, stock=0), 1)
    await system.stop(PRODUCTS)
    request_id = uuid4()
    await system.refused(confirm(order), id=request_id)
    await _due(system, request_id, "1 hour")
    await system.start(PRODUCTS)

    async def out_of_stock() -> bool:
        return (await system.refused(confirm(order)))["code"] == "out_of_stock"

    await eventually(out_of_stock)
    revived = await system.done(revive(order))

    await _due(system, request_id, "0 hours")

    assert await eventually(partial(_state, system, request_id)) == "done"
    assert (await order_of(system, order))["version"] == revived["version"]


async def _due(system: System, request_id: UUID, after: str) -> None:
    query = "update shop_orders.inbox set due_at = now() + $2::text::interval where id = $1 and state = 'waiting'"
    assert await system.rows(ORDERS, f"{query} returning id", request_id, after)


async def _state(system: System, request_id: UUID) -> Any:
    row = await system.one(ORDERS, "select state from shop_orders.inbox where id = $1", request_id)
    return row["state"] if row["state"] == "done" else None


async def test_while_deliveries_is_away_the_order_waits_and_then_goes_on_by_itself(system: System) -> None:
    order = await ordered(system, await product(system))
    await system.stop(DELIVERIES)

    await system.done(confirm(order))
    waiting = await shown(system, order, status="PAYMENT_CONFIRMED")
    await system.start(DELIVERIES)

    assert (waiting["delivery"], waiting["next_action"]) == (None, "WAIT_FOR_DELIVERY")
    await until(system, order, status="DELIVERING")


async def test_a_delivery_that_died_while_it_was_prepared_goes_on_by_itself(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await ordered(system, await product(system))
    reached = asyncio.Event()

    async def stall(context: str, at: str) -> None:
        if (context, at) == (DELIVERIES, "claimed") and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(failpoints, "hook", stall)
    await system.done(confirm(order))
    await reached.wait()
    await system.kill(DELIVERIES)
    await system.start(DELIVERIES)

    await until(system, order, status="DELIVERING")
    assert await told_of(system, order, DELIVERIES) == ["delivery_prepared", "delivery_started"]


async def test_news_of_a_delivery_in_the_wrong_order_and_twice_bring_the_order_on_once(
    system: System, kim: Caller
) -> None:
    order = await ordered(system, await product(system), 1, kim)
    await system.stop(DELIVERIES)
    confirmed = await system.done(confirm(order))
    prepared, started = (_news_of_delivery(kind, order, version) for kind, version in _DELIVERY)

    await tell(system, started)
    await system.wait_until_idle()
    delivering = await until(system, order, status="DELIVERING", delivery={"status": "DELIVERING"})
    await tell(system, prepared, started, prepared)
    await system.wait_until_idle()
    await system.start(DELIVERIES)
    await system.wait_until_idle()

    assert delivering["version"] == confirmed["version"] + 1
    assert (await order_of(system, order)) == delivering


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


async def test_the_one_screen_answers_while_all_its_writers_are_down(system: System, kim: Caller) -> None:
    order = await ordered(system, await product(system, name="Kettle"), 1, kim)
    await system.done(confirm(order))
    before = await shown(system, order, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED"})
    await system.stop("payments", PRODUCTS, ORDERS, DELIVERIES)

    (item,) = (await system.done(ListOrderStatus(member_id=kim.member_id)))["items"]
    after: Thing = await screen_of(system, order)

    assert (item["status"], item["product"]["name"]) == ("DELIVERING", "Kettle")
    assert {**after, "as_of": ""} == {**before, "as_of": ""}


async def test_two_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*ALL, replica=" 2")
    product_id = await product(system, stock=12)
    orders = [await ordered(system, product_id, 2) for _ in range(8)]

    outcomes = await asyncio.gather(*(system.request(confirm(order)) for order in orders for _ in range(2)))
    await system.wait_until_idle()

    assert {reply.kind for reply in outcomes} == {"done", "refused"}
    ended = [(await order_of(system, order))["status"] for order in orders]
    assert sorted(ended) == ["DELIVERING"] * 6 + ["PAYMENT_CANCELLED"] * 2
    assert await stock_of(system, product_id) == 0
    await system.stop(*(f"{name} 2" for name in ALL))
