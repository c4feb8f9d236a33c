"""What the café does while some of its contexts are stopped, and with two replicas of each."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from contracts.base import Caller
from contracts.cafe.menu import ListMenu
from contracts.cafe.orders import ListKnownMenu, ListOrders
from tests.cafe.conftest import Send
from tests.cafe.helpers import (
    AVAILABLE,
    CONTEXTS,
    ORDERS,
    REPORT,
    SOLD_OUT,
    accept,
    cancel,
    change_item,
    order_events,
    order_of,
    orders_of,
    place_order,
    register_item,
    view_of,
    wait_for_known_item,
    wait_for_view,
)
from tests.support.system import STAFF, System, customer


async def test_the_menu_changes_while_orders_is_stopped_and_orders_catches_up(system: System, kim: Caller) -> None:
    await system.stop(ORDERS)
    latte, mocha = [await system.done(register_item(name=name)) for name in ("Latte", "Mocha")]
    gone = await system.done(change_item(latte, status=SOLD_OUT))
    await system.done(change_item(mocha, status=SOLD_OUT))
    back = await system.done(change_item(mocha, status=AVAILABLE, price=5000))
    listed = await system.done(ListMenu(limit=2))
    await wait_for_view(system, mocha, price=5000, version=3)

    await system.start(ORDERS)

    await wait_for_known_item(system, gone)
    await wait_for_known_item(system, back)
    known = {item["menu_item_id"]: item for item in await system.items(ListKnownMenu(limit=200))}
    sold_out = await system.items(ListKnownMenu(status=SOLD_OUT, limit=200))
    copies = [known[item["menu_item_id"]] for item in (latte, mocha)]
    assert [(copy["status"], copy["version"]) for copy in copies] == [(SOLD_OUT, 2), (AVAILABLE, 3)]
    assert (copies[0] in sold_out, copies[1] in sold_out) == (True, False)
    assert [item["name"] for item in listed["items"]] == ["Mocha", "Latte"]
    code, order = await system.outcome(place_order(mocha, kim))
    assert (code, order["price"]) == ("done", 5000)


async def test_stopped_orders_is_unavailable_and_nothing_is_begun(system: System, send: Send, kim: Caller) -> None:
    item = await system.done(register_item())
    order = await system.done(place_order(item, kim))
    await system.stop(ORDERS)
    commands = [place_order(item, kim), cancel(order, kim), accept(order), ListOrders()]
    for command in commands:
        await system.wait_for_reply(command, "unavailable")
    requests = [
        (kim, "POST", "/orders", {"menu_item_id": item["menu_item_id"]}),
        (kim, "POST", f"/orders/{order['order_id']}/cancellation", None),
        (STAFF, "POST", f"/orders/{order['order_id']}/acceptance", None),
        (kim, "GET", "/orders", None),
    ]

    answers = [await send(*request) for request in requests]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "unavailable")] * 4
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    await system.start(ORDERS)
    assert (await system.outcome(cancel(order, kim)))[1]["version"] == 2
    assert [one["status"] for one in await orders_of(system, kim)] == ["CANCELLED"]


async def test_the_report_catches_up_after_it_was_stopped(system: System) -> None:
    await system.stop(REPORT)
    item = await system.done(register_item())
    order = await system.done(place_order(item))
    await system.done(accept(order))
    await system.done(change_item(item, status=SOLD_OUT))

    await system.start(REPORT)

    await wait_for_view(system, item, orders_today=1, version=2, status=SOLD_OUT)


async def test_an_order_whose_answer_was_lost_is_found_under_the_same_key(system: System, kim: Caller) -> None:
    item, request_id = await system.done(register_item()), uuid4()
    request = asyncio.create_task(system.request(place_order(item, kim), id=request_id, within=0.5))
    await system.wait_for_rows(ORDERS, "select 1 from cafe_orders.orders where order_id = $1", request_id)
    await system.kill(ORDERS)
    await system.start(ORDERS)
    await request

    code, order = await system.outcome(place_order(item, kim), id=request_id)

    assert (code, order["order_id"]) == ("done", str(request_id))
    assert await orders_of(system, kim) == [order]
    assert await order_events(system, order) == ["order_placed"]


async def test_two_replicas_of_each_context_do_everything_once(system: System) -> None:
    await system.start(*CONTEXTS, replica=" 2")
    item = await system.done(register_item())
    commands = [(uuid4(), customer()) for _ in range(20)]

    answers = await asyncio.gather(
        *(system.outcome(place_order(item, who), id=id) for id, who in commands for _ in range(3))
    )
    orders = {answer["order_id"]: answer for _, answer in answers}
    await asyncio.gather(*(system.done(accept(order)) for order in orders.values() for _ in range(2)))

    assert {code for code, _ in answers} == {"done"}
    assert set(orders) == {str(id) for id, _ in commands}
    assert len({order["pickup_number"] for order in orders.values()}) == 20
    assert all([(await order_of(system, order))["version"] == 2 for order in orders.values()])
    await wait_for_view(system, item, orders_today=20)
    await system.wait_until_idle()
    assert (await view_of(system, item))["orders_today"] == 20
    await system.stop(*(f"{name} 2" for name in CONTEXTS))
