"""What the shop does while some of its contexts are stopped or killed, and with two replicas of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4, uuid5

import pytest

from contracts.base import Caller
from contracts.shop.deliveries import (
    DeliveryEvent,
    DeliveryPrepared,
    DeliveryStarted,
    DeliveryStatus,
)
from contracts.shop.order_status import ListOrderStatus
from contracts.shop.products import ShowProduct
from contracts.shop.states import OrderStatus
from tests.shop.helpers import (
    CONTEXTS,
    DELIVERIES,
    ORDERS,
    PRODUCTS,
    awaiting_payment,
    cancel,
    confirm,
    known_product,
    order_events,
    order_of,
    place_order,
    revive,
    stock_of,
    view_of,
    wait_for_order,
    wait_for_view,
)
from tests.support.failpoints import paused
from tests.support.system import Json, System, eventually, list_query
from workers.runtime.processing import failpoints


@pytest.fixture(autouse=True)
async def _all_started(system: System) -> AsyncIterator[None]:
    """Every context runs and answers when a test begins."""
    yield
    await system.start_stopped(*CONTEXTS)
    for name in CONTEXTS:
        await system.wait_for_reply(list_query(name), "done")


async def test_orders_are_placed_while_payments_products_and_deliveries_are_stopped(
    system: System, kim: Caller
) -> None:
    product_id = await known_product(system, price=1200)
    await system.stop("payments", PRODUCTS, DELIVERIES)

    order = await system.done(place_order(product_id, 2, kim))

    assert (order["status"], order["total"], order["transfer"]["status"]) == ("ORDER_PLACED", 2400, None)
    assert (await wait_for_view(system, order, status="ORDER_PLACED"))["next_action"] == "TRANSFER"
    await system.start("payments")
    await wait_for_order(system, order, status="AWAITING_PAYMENT", transfer={"status": "AWAITING_TRANSFER"})


async def test_an_order_confirmed_or_cancelled_while_payments_is_stopped_is_recorded_later(
    system: System, kim: Caller
) -> None:
    product_id = await known_product(system)
    await system.stop("payments")
    paid, cancelled = [await system.done(place_order(product_id, 1, kim)) for _ in range(2)]

    assert (await system.done(confirm(paid)))["status"] == "PAYMENT_CONFIRMED"
    assert (await system.done(cancel(cancelled, kim)))["status"] == "ORDER_CANCELLED"

    await wait_for_order(system, paid, status="DELIVERING", transfer={"status": None})
    await system.start("payments")
    await wait_for_order(system, paid, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED"})
    await wait_for_order(system, cancelled, status="ORDER_CANCELLED", transfer={"status": "TRANSFER_CANCELLED"})


async def test_an_order_confirmed_while_products_is_stopped_is_finished_when_products_starts(
    system: System, kim: Caller
) -> None:
    product_id = await known_product(system, stock=3)
    order = await awaiting_payment(system, product_id, 2, kim)
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
    assert (await wait_for_view(system, order, status="CONFIRMING"))["next_action"] == "WAIT_FOR_STOCK"
    await system.start(PRODUCTS)
    await wait_for_order(system, order, status="DELIVERING")
    await system.wait_until_idle()
    assert await stock_of(system, product_id) == 1
    assert (await system.done(confirm(order), id=request_id))["order_id"] == order["order_id"]
    assert (await order_events(system, order)).count("payment_confirmed") == 1


async def test_an_order_confirmed_while_products_is_stopped_is_cancelled_without_stock(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system, stock=0), 1)
    await system.stop(PRODUCTS)
    await system.refused(confirm(order))

    await system.start(PRODUCTS)

    await wait_for_order(
        system, order, status="PAYMENT_CANCELLED", transfer={"status": "TRANSFER_CANCELLED", "refund_owed": True}
    )


async def test_a_lost_answer_of_products_takes_the_stock_once(
    system: System,
) -> None:
    product_id = await known_product(system, stock=5)
    order = await awaiting_payment(system, product_id, 2)

    async with paused(PRODUCTS, "committed"):
        refusal = await system.refused(confirm(order))
        taken = await stock_of(system, product_id)

    assert (refusal["code"], taken) == ("still_confirming", 3)
    await wait_for_order(system, order, status="DELIVERING")
    assert await stock_of(system, product_id) == 3


async def test_stock_taken_for_a_round_that_is_over_is_returned_and_the_round_is_closed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    product_id = await known_product(system, stock=5)
    order = await awaiting_payment(system, product_id, 2)

    async def end_the_round(context: str, at: str) -> None:
        if (context, at) == (ORDERS, "outcome_known"):
            await _set_status(system, order, "ORDER_CANCELLED")

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hook", end_the_round)
        refusal = await system.refused(confirm(order))
    await system.wait_for(ShowProduct(product_id=product_id), stock=5)
    await _set_status(system, order, "CONFIRMING")
    closed = await system.refused(confirm(order))

    assert (refusal["code"], closed["code"], closed["reason"]) == ("wrong_state", "out_of_stock", "round_closed")
    assert await stock_of(system, product_id) == 5


async def _set_status(system: System, order: Json, status: str) -> None:
    """Change a status as no handler would."""
    await system.rows(
        ORDERS, "update shop_orders.orders set status = $2 where order_id = $1", order["order_id"], status
    )


@pytest.mark.parametrize("place", ["started", "outcome_known"])
async def test_orders_killed_while_it_confirms_finishes_the_order_by_itself(system: System, place: str) -> None:
    product_id = await known_product(system, stock=5)
    order = await awaiting_payment(system, product_id, 2)

    async with paused(ORDERS, place) as pause:
        confirming = asyncio.create_task(system.request(confirm(order), within=2.0))
        await pause.reached.wait()
        await system.kill(ORDERS)
    await system.start(ORDERS)

    await wait_for_order(system, order, status="DELIVERING")
    await confirming
    assert await stock_of(system, product_id) == 3


async def test_a_confirmation_that_waited_never_begins_a_later_round(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system, stock=0), 1)
    await system.stop(PRODUCTS)
    request_id = uuid4()
    await system.refused(confirm(order), id=request_id)
    await set_due(system, request_id, "1 hour")
    await system.start(PRODUCTS)

    async def out_of_stock() -> bool:
        return bool((await system.refused(confirm(order)))["code"] == "out_of_stock")

    await eventually(out_of_stock)
    revived = await system.done(revive(order))

    await set_due(system, request_id, "0 hours")

    done = "select 1 from shop_orders.inbox where id = $1 and state = 'done'"
    await system.wait_for_rows(ORDERS, done, request_id)
    assert (await order_of(system, order))["version"] == revived["version"]


async def set_due(system: System, request_id: UUID, after: str) -> None:
    query = "update shop_orders.inbox set due_at = now() + $2::text::interval where id = $1 and state = 'waiting'"
    assert await system.rows(ORDERS, f"{query} returning id", request_id, after)


async def test_an_order_waits_while_deliveries_is_stopped_and_goes_on_when_it_starts(system: System) -> None:
    order = await awaiting_payment(system, await known_product(system))
    await system.stop(DELIVERIES)

    await system.done(confirm(order))
    waiting = await wait_for_view(system, order, status="PAYMENT_CONFIRMED")
    await system.start(DELIVERIES)

    assert (waiting["delivery"], waiting["next_action"]) == (None, "WAIT_FOR_DELIVERY")
    await wait_for_order(system, order, status="DELIVERING")


async def test_deliveries_killed_while_it_prepares_goes_on_by_itself(
    system: System,
) -> None:
    order = await awaiting_payment(system, await known_product(system))

    async with paused(DELIVERIES, "claimed") as pause:
        await system.done(confirm(order))
        await pause.reached.wait()
        await system.kill(DELIVERIES)
    await system.start(DELIVERIES)

    await wait_for_order(system, order, status="DELIVERING")
    assert await order_events(system, order, DELIVERIES) == ["delivery_prepared", "delivery_started"]


async def test_delivery_events_in_the_wrong_order_and_twice_change_the_order_once(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.stop(DELIVERIES)
    confirmed = await system.done(confirm(order))
    prepared, started = (delivery_event(kind, order, version) for kind, version in _DELIVERY)

    await system.publish(started)
    await system.wait_until_idle()
    delivering = await wait_for_order(system, order, status="DELIVERING", delivery={"status": "DELIVERING"})
    await system.publish(prepared, started, prepared)
    await system.wait_until_idle()
    await system.start(DELIVERIES)
    await system.wait_until_idle()

    assert delivering["version"] == confirmed["version"] + 1
    assert (await order_of(system, order)) == delivering


_DELIVERY: list[tuple[type[DeliveryEvent], int]] = [(DeliveryPrepared, 1), (DeliveryStarted, 2)]


def delivery_event(kind: type[DeliveryEvent], order: Json, version: int) -> DeliveryEvent:
    """An event that deliveries will publish about the order once it runs again."""
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


async def test_order_status_answers_while_all_its_writers_are_stopped(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system, name="Kettle"), 1, kim)
    await system.done(confirm(order))
    before = await wait_for_view(system, order, status="DELIVERING", transfer={"status": "TRANSFER_CONFIRMED"})
    await system.stop("payments", PRODUCTS, ORDERS, DELIVERIES)

    (item,) = (await system.done(ListOrderStatus(member_id=kim.member_id)))["items"]
    after: Json = await view_of(system, order)

    assert (item["status"], item["product"]["name"]) == ("DELIVERING", "Kettle")
    assert {**after, "as_of": ""} == {**before, "as_of": ""}


async def test_two_replicas_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*CONTEXTS, replica=" 2")
    product_id = await known_product(system, stock=12)
    orders = [await awaiting_payment(system, product_id, 2) for _ in range(8)]

    outcomes = await asyncio.gather(*(system.request(confirm(order)) for order in orders for _ in range(2)))
    await system.wait_until_idle()

    assert {reply.kind for reply in outcomes} == {"done", "refused"}
    ended = [(await order_of(system, order))["status"] for order in orders]
    assert sorted(ended) == ["DELIVERING"] * 6 + ["PAYMENT_CANCELLED"] * 2
    assert await stock_of(system, product_id) == 0
    await system.stop(*(f"{name} 2" for name in CONTEXTS))
