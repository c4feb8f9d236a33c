"""The story of the café: register, order, serve, change the price, sell out, cancel, and the clerk's report."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ops.stories.runner import Answer, Json, Person, StoryRunner, counted

TITLE = "Café"
BASE = "/v1/cafe"


async def play(runner: StoryRunner) -> None:
    kim, minji, jun = runner.staff("kim"), runner.customer("minji"), runner.customer("jun")
    latte = await _registered(runner, kim, "Latte", 4500)
    order = await _ordered_and_repeated(runner, minji, latte)
    await _served(runner, kim, minji, order)
    await _price_changed(runner, kim, jun, latte)
    await _sold_out(runner, kim, jun, latte)
    await _not_for_sale(runner, kim, jun)
    await _same_instant(runner, kim, jun)
    await _overview(runner, kim, latte, minji, jun)


async def _registered(runner: StoryRunner, staff: Person, name: str, price: int) -> Json:
    text = f"a clerk registers {name}, {price} won"
    body = {"name": f"{name} {runner.run}", "price": price}
    return (await runner.step(text, staff, "POST", f"{BASE}/menu", body, expect=201, code="AVAILABLE")).body


def wish(item: Json, quantity: int = 1, expected_price: int | None = None) -> Json:
    body = {"menu_item_id": item["menu_item_id"], "quantity": quantity}
    return body if expected_price is None else body | {"expected_price": expected_price}


async def _ordered_and_repeated(runner: StoryRunner, customer: Person, item: Json) -> Json:
    key, body = str(uuid4()), wish(item, quantity=2, expected_price=4500)
    first = await runner.step(
        "a customer orders two, right away",
        customer,
        "POST",
        f"{BASE}/orders",
        body,
        expect=201,
        code="ORDERED",
        key=key,
        shows=lambda answer: f"ORDERED for {answer.body['total']} won, number {answer.body['pickup_number']}",
        must=lambda answer: None if answer.body["total"] == 9000 else f"the total is {answer.body['total']}",
    )
    await runner.step(
        "a double tap, same key",
        customer,
        "POST",
        f"{BASE}/orders",
        body,
        expect=201,
        key=key,
        must=lambda answer: None if answer.body == first.body else "another body than the first time",
        shows=lambda _: "the first answer again",
    )
    return first.body


async def _served(runner: StoryRunner, staff: Person, customer: Person, order: Json) -> None:
    path = f"{BASE}/orders/{order['order_id']}"
    await runner.step("a clerk accepts it", staff, "POST", f"{path}/acceptance", code="ACCEPTED")
    await runner.step("too late to cancel", customer, "POST", f"{path}/cancellation", expect=409, code="wrong_state")
    await runner.step("it is ready", staff, "POST", f"{path}/ready", code="READY")
    await runner.step("the customer collects it", staff, "POST", f"{path}/collection", code="COLLECTED")


async def _price_changed(runner: StoryRunner, staff: Person, customer: Person, item: Json) -> None:
    path = f"{BASE}/menu/{item['menu_item_id']}"
    await runner.step(
        "a clerk raises the price",
        staff,
        "PATCH",
        path,
        {"price": 5000, "expected_version": 1},
        shows=lambda answer: f"{answer.body['price']} won, version {answer.body['version']}",
    )
    await runner.step(
        "another clerk saw the old version",
        staff,
        "PATCH",
        path,
        {"price": 4000, "expected_version": 1},
        expect=409,
        code="stale_version",
    )
    await runner.step(
        "a customer saw the old price",
        customer,
        "POST",
        f"{BASE}/orders",
        wish(item, expected_price=4500),
        expect=409,
        code="price_changed",
        shows=lambda answer: f"price_changed, {answer.body['price']} won now",
        must=lambda answer: None if answer.body["price"] == 5000 else "expected the price of now",
    )
    order = await runner.step(
        "and orders at the price of now",
        customer,
        "POST",
        f"{BASE}/orders",
        wish(item, expected_price=5000),
        expect=201,
    )
    path = f"{BASE}/orders/{order.body['order_id']}/rejection"
    await runner.step("no milk: the clerk rejects it", staff, "POST", path, {"reason": "no milk"}, code="REJECTED")


async def _sold_out(runner: StoryRunner, staff: Person, customer: Person, item: Json) -> None:
    path = f"{BASE}/menu/{item['menu_item_id']}"
    await runner.step("it is sold out", staff, "PATCH", path, {"status": "SOLD_OUT"}, code="SOLD_OUT")
    await runner.step(
        "nobody orders it any more", customer, "POST", f"{BASE}/orders", wish(item), expect=409, code="sold_out"
    )
    await runner.step("customers do not see it", customer, "GET", path, expect=404, code="not_found")


async def _not_for_sale(runner: StoryRunner, staff: Person, customer: Person) -> None:
    item = await _registered(runner, staff, "Affogato", 0)
    text = "what has no price is not for sale yet"
    await runner.step(text, customer, "POST", f"{BASE}/orders", wish(item), expect=409, code="not_for_sale")


async def _same_instant(runner: StoryRunner, staff: Person, customer: Person) -> None:
    item = await _registered(runner, staff, "Espresso", 3000)
    order = (await runner.step("a customer orders", customer, "POST", f"{BASE}/orders", wish(item), expect=201)).body
    path = f"{BASE}/orders/{order['order_id']}"
    answers = await asyncio.gather(
        staff.send("POST", f"{path}/acceptance"), customer.send("POST", f"{path}/cancellation")
    )
    text, came = "accepted and cancelled, the same instant", [answer.code for answer in answers]
    runner.report(text, "POST", " and ".join(came), max(answer.took_ms for answer in answers))
    runner.require(came in (["ACCEPTED", "wrong_state"], ["wrong_state", "CANCELLED"]), text, " and ".join(came))


async def _overview(runner: StoryRunner, staff: Person, item: Json, *customers: Person) -> None:
    def shown(answer: Answer) -> str:
        return f"{answer.code}, {answer.body.get('orders_today')} orders, {len(answer.body.get('timeline', []))} events"

    await runner.until(
        "the report has all of it",
        lambda: staff.send("GET", f"{BASE}/report/{item['menu_item_id']}"),
        lambda answer: answer.body["status"] == "SOLD_OUT" and answer.body["orders_today"] == 2,
        within=5,
        shows=shown,
    )
    for customer in customers:
        await runner.step(
            f"the orders of {customer.name.partition('-')[0]}",
            customer,
            "GET",
            f"{BASE}/orders",
            shows=lambda answer: counted(order["status"] for order in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected orders",
        )
