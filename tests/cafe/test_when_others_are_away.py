"""What goes on while a context of the café is down, and what several of each do."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID, uuid4

from contracts.base import Caller, Message
from contracts.cafe.menu import ListMenu
from contracts.cafe.orders import ListOrders
from tests.cafe.conftest import Door
from tests.cafe.words import (
    ALL,
    AVAILABLE,
    ORDERS,
    REPORT,
    SOLD_OUT,
    accept,
    attempt,
    cancel,
    change,
    copied,
    new_item,
    order_of,
    orders_of,
    reported,
    shown,
    stands,
    told_of,
)
from tests.support.system import STAFF, System, customer, eventually


async def test_the_menu_is_kept_while_orders_is_down_and_orders_catches_up_by_itself(
    system: System, kim: Caller
) -> None:
    await system.stop(ORDERS)
    latte, mocha = [await system.done(new_item(name=name)) for name in ("Latte", "Mocha")]
    gone = await system.done(change(latte, status=SOLD_OUT))
    await system.done(change(mocha, status=SOLD_OUT))
    back = await system.done(change(mocha, status=AVAILABLE, price=5000))
    listed = await system.done(ListMenu(limit=2))
    await shown(system, mocha, price=5000, version=3)

    await system.start(ORDERS)

    await copied(system, gone)
    await copied(system, back)
    copies = await system.rows(
        ORDERS,
        "select status from cafe_orders.menu_items where menu_item_id = any($1::uuid[]) order by version",
        [UUID(latte["menu_item_id"]), UUID(mocha["menu_item_id"])],
    )
    assert [copy["status"] for copy in copies] == [SOLD_OUT, AVAILABLE]
    assert [item["name"] for item in listed["items"]] == ["Mocha", "Latte"]
    code, order = await attempt(system, order_of(mocha, kim))
    assert (code, order["price"]) == ("done", 5000)


async def test_orders_that_is_down_is_said_to_be_and_nothing_is_begun(system: System, door: Door, kim: Caller) -> None:
    item = await system.done(new_item())
    order = await system.done(order_of(item, kim))
    await system.stop(ORDERS)
    wishes = [order_of(item, kim), cancel(order, kim), accept(order), ListOrders()]
    for wish in wishes:
        await eventually(partial(_is_away, system, wish))
    requests = [
        (kim, "POST", "/orders", {"menu_item_id": item["menu_item_id"]}),
        (kim, "POST", f"/orders/{order['order_id']}/cancellation", None),
        (STAFF, "POST", f"/orders/{order['order_id']}/acceptance", None),
        (kim, "GET", "/orders", None),
    ]

    answers = [await door(*request) for request in requests]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "unavailable")] * 4
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    await system.start(ORDERS)
    assert (await attempt(system, cancel(order, kim)))[1]["version"] == 2
    assert [one["status"] for one in await orders_of(system, kim)] == ["CANCELLED"]


async def _is_away(system: System, wish: Message) -> bool:
    return (await system.request(wish, within=0.3, budget=0.2)).kind == "unavailable"


async def test_the_report_catches_up_when_it_was_away(system: System) -> None:
    await system.stop(REPORT)
    item = await system.done(new_item())
    order = await system.done(order_of(item))
    await system.done(accept(order))
    await system.done(change(item, status=SOLD_OUT))

    await system.start(REPORT)

    await shown(system, item, orders_today=1, version=2, status=SOLD_OUT)


async def test_an_order_whose_answer_nobody_heard_is_there_under_the_same_key(system: System, kim: Caller) -> None:
    item, request_id = await system.done(new_item()), uuid4()
    asking = asyncio.create_task(system.request(order_of(item, kim), id=request_id, within=0.5, budget=0.4))
    await eventually(lambda: system.rows(ORDERS, "select 1 from cafe_orders.orders where order_id = $1", request_id))
    await system.kill(ORDERS)
    await system.start(ORDERS)
    await asking

    code, order = await attempt(system, order_of(item, kim), id=request_id)

    assert (code, order["order_id"]) == ("done", str(request_id))
    assert await orders_of(system, kim) == [order]
    await system.wait_until_idle()
    assert told_of(system, order, "order_id") == ["order_placed"]


async def test_two_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*ALL, replica=" 2")
    item = await system.done(new_item())
    wishes = [(uuid4(), customer()) for _ in range(20)]

    answers = await asyncio.gather(
        *(attempt(system, order_of(item, who), id=id) for id, who in wishes for _ in range(3))
    )
    orders = {answer["order_id"]: answer for _, answer in answers}
    await asyncio.gather(*(system.done(accept(order)) for order in orders.values() for _ in range(2)))

    assert {code for code, _ in answers} == {"done"}
    assert set(orders) == {str(id) for id, _ in wishes}
    assert len({order["pickup_number"] for order in orders.values()}) == 20
    assert all([(await stands(system, order))["version"] == 2 for order in orders.values()])
    await shown(system, item, orders_today=20)
    await system.wait_until_idle()
    assert (await reported(system, item))["orders_today"] == 20
    await system.stop(*(f"{name} 2" for name in ALL))
