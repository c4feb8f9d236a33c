"""The café, played: register, order, sell out, change the price, serve, cancel, and the clerk's report."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ops.stories.stage import Answer, Json, Person, Stage, counted

TITLE = "Café"
BASE = "/v1/cafe"


async def play(stage: Stage) -> None:
    kim, minji, jun = stage.staff("kim"), stage.customer("minji"), stage.customer("jun")
    latte = await _registered(stage, kim, "Latte", 4500)
    order = await _ordered_and_repeated(stage, minji, latte)
    await _served(stage, kim, minji, order)
    await _price_changed(stage, kim, jun, latte)
    await _sold_out(stage, kim, jun, latte)
    await _not_for_sale(stage, kim, jun)
    await _same_instant(stage, kim, jun)
    await _overview(stage, kim, latte, minji, jun)


async def _registered(stage: Stage, staff: Person, name: str, price: int) -> Json:
    text = f"a clerk registers {name}, {price} won"
    body = {"name": f"{name} {stage.run}", "price": price}
    return (await stage.step(text, staff, "POST", f"{BASE}/menu", body, expect=201, code="AVAILABLE")).body


def wish(item: Json, quantity: int = 1, expected_price: int | None = None) -> Json:
    body = {"menu_item_id": item["menu_item_id"], "quantity": quantity}
    return body if expected_price is None else body | {"expected_price": expected_price}


async def _ordered_and_repeated(stage: Stage, customer: Person, item: Json) -> Json:
    key, body = str(uuid4()), wish(item, quantity=2, expected_price=4500)
    first = await stage.step(
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
    await stage.step(
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


async def _served(stage: Stage, staff: Person, customer: Person, order: Json) -> None:
    path = f"{BASE}/orders/{order['order_id']}"
    await stage.step("a clerk accepts it", staff, "POST", f"{path}/acceptance", code="ACCEPTED")
    await stage.step("too late to cancel", customer, "POST", f"{path}/cancellation", expect=409, code="wrong_state")
    await stage.step("it is ready", staff, "POST", f"{path}/ready", code="READY")
    await stage.step("the customer collects it", staff, "POST", f"{path}/collection", code="COLLECTED")


async def _price_changed(stage: Stage, staff: Person, customer: Person, item: Json) -> None:
    path = f"{BASE}/menu/{item['menu_item_id']}"
    await stage.step(
        "a clerk raises the price",
        staff,
        "PATCH",
        path,
        {"price": 5000, "expected_version": 1},
        shows=lambda answer: f"{answer.body['price']} won, version {answer.body['version']}",
    )
    await stage.step(
        "another clerk saw the old version",
        staff,
        "PATCH",
        path,
        {"price": 4000, "expected_version": 1},
        expect=409,
        code="stale_version",
    )
    await stage.step(
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
    order = await stage.step(
        "and orders at the price of now",
        customer,
        "POST",
        f"{BASE}/orders",
        wish(item, expected_price=5000),
        expect=201,
    )
    path = f"{BASE}/orders/{order.body['order_id']}/rejection"
    await stage.step("no milk: the clerk rejects it", staff, "POST", path, {"reason": "no milk"}, code="REJECTED")


async def _sold_out(stage: Stage, staff: Person, customer: Person, item: Json) -> None:
    path = f"{BASE}/menu/{item['menu_item_id']}"
    await stage.step("it is sold out", staff, "PATCH", path, {"status": "SOLD_OUT"}, code="SOLD_OUT")
    await stage.step(
        "nobody orders it any more", customer, "POST", f"{BASE}/orders", wish(item), expect=409, code="sold_out"
    )
    await stage.step("customers do not see it", customer, "GET", path, expect=404, code="not_found")


async def _not_for_sale(stage: Stage, staff: Person, customer: Person) -> None:
    item = await _registered(stage, staff, "Affogato", 0)
    text = "what has no price is not for sale yet"
    await stage.step(text, customer, "POST", f"{BASE}/orders", wish(item), expect=409, code="not_for_sale")


async def _same_instant(stage: Stage, staff: Person, customer: Person) -> None:
    item = await _registered(stage, staff, "Espresso", 3000)
    order = (await stage.step("a customer orders", customer, "POST", f"{BASE}/orders", wish(item), expect=201)).body
    path = f"{BASE}/orders/{order['order_id']}"
    answers = await asyncio.gather(
        staff.ask("POST", f"{path}/acceptance"), customer.ask("POST", f"{path}/cancellation")
    )
    text, came = "accepted and cancelled, the same instant", [answer.code for answer in answers]
    stage.note(text, "POST", " and ".join(came), max(answer.took_ms for answer in answers))
    stage.must(came in (["ACCEPTED", "wrong_state"], ["wrong_state", "CANCELLED"]), text, " and ".join(came))


async def _overview(stage: Stage, staff: Person, item: Json, *customers: Person) -> None:
    def shown(answer: Answer) -> str:
        return f"{answer.code}, {answer.body.get('orders_today')} orders, {len(answer.body.get('timeline', []))} events"

    await stage.until(
        "the report has all of it",
        lambda: staff.ask("GET", f"{BASE}/report/{item['menu_item_id']}"),
        lambda answer: answer.body["status"] == "SOLD_OUT" and answer.body["orders_today"] == 2,
        within=5,
        shows=shown,
    )
    for customer in customers:
        await stage.step(
            f"the orders of {customer.name.partition('-')[0]}",
            customer,
            "GET",
            f"{BASE}/orders",
            shows=lambda answer: counted(order["status"] for order in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected orders",
        )
