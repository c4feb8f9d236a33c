"""The shop, played: order, wrong amount, two sellers, delivery, receipt, out of stock, revival, cancel or confirm."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ops.stories.stage import Answer, Json, Person, Stage, counted

TITLE = "Shop"
BASE = "/v1/shop"
WITHIN = 10


async def play(stage: Stage) -> None:
    kim, han = stage.staff("kim"), stage.staff("han")
    minji, jun = stage.customer("minji"), stage.customer("jun")
    teapot = await _registered(stage, kim, "Teapot", stock=3)
    order = await _ordered_and_repeated(stage, minji, teapot)
    await _paid(stage, kim, han, order)
    await _delivered(stage, minji, order)
    await _out_of_stock_and_revived(stage, kim, jun, teapot)
    await _cancel_or_confirm(stage, kim, jun, teapot)
    await _overview(stage, minji, jun)


async def _registered(stage: Stage, staff: Person, name: str, stock: int) -> Json:
    new = {"name": f"{name} {stage.run}", "price": 12_000, "stock": stock}
    text = f"the seller offers {name}, {stock} pieces"
    return (await stage.step(text, staff, "POST", f"{BASE}/products", new, expect=201, code="ON_SALE")).body


def _transfer(answer: Answer) -> str:
    transfer = answer.body["transfer"]
    return f"{answer.code}, {answer.body['total']} won as {transfer['reference']}"


async def _ordered(stage: Stage, member: Person, product: Json, quantity: int, text: str, key: str = "") -> Answer:
    body = {"product_id": product["product_id"], "quantity": quantity}
    return await stage.step(
        text,
        member,
        "POST",
        f"{BASE}/orders",
        body,
        expect=201,
        code="ORDER_PLACED",
        key=key or str(uuid4()),
        shows=_transfer,
        must=lambda answer: None if answer.body["total"] == 12_000 * quantity else "another total",
    )


async def _ordered_and_repeated(stage: Stage, member: Person, product: Json) -> Json:
    key = str(uuid4())
    first = await _ordered(stage, member, product, 2, "a client orders two", key)
    again = await _ordered(stage, member, product, 2, "the same request again, same key", key)
    stage.must(again.body == first.body, "the same request again", "another body than the first time")
    await _on_screen(stage, "the one screen: what comes next", member, first.body, "AWAITING_PAYMENT")
    return first.body


async def _on_screen(stage: Stage, text: str, person: Person, order: Json, status: str) -> Json:
    def shown(answer: Answer) -> str:
        return f"{answer.code}, next {answer.body.get('next_action')}, {len(answer.body.get('timeline', []))} events"

    answer = await stage.until(
        text,
        lambda: person.ask("GET", f"{BASE}/order-status/{order['order_id']}"),
        lambda answer: answer.body["status"] == status,
        within=WITHIN,
        shows=shown,
    )
    return answer.body


def _confirmation(order: Json) -> str:
    return f"{BASE}/orders/{order['order_id']}/payment-confirmation"


async def _paid(stage: Stage, seller: Person, other: Person, order: Json) -> None:
    wrong, right = {"amount": order["total"] - 1}, {"amount": order["total"], "depositor": "Minji"}
    path = _confirmation(order)
    await stage.step("a won is missing", seller, "POST", path, wrong, expect=409, code="amount_mismatch")
    answers = await asyncio.gather(*(one.ask("POST", path, right) for one in (seller, other)))
    text = "two sellers confirm at the same instant"
    outcome = counted(f"{answer.status} {answer.code}" for answer in answers)
    stage.note(text, "POST", outcome, max(answer.took_ms for answer in answers))
    stage.must(all(answer.status == 200 for answer in answers), text, outcome)
    await stage.step(
        "the stock went down once",
        seller,
        "GET",
        f"{BASE}/products/{order['product_id']}",
        shows=lambda answer: f"{answer.body['stock']} in stock",
        must=lambda answer: None if answer.body["stock"] == 1 else "expected 1",
    )


async def _delivered(stage: Stage, member: Person, order: Json) -> None:
    path = f"{BASE}/orders/{order['order_id']}"
    await _on_screen(stage, "it is on its way", member, order, "DELIVERING")
    await stage.step("too late to cancel", member, "POST", f"{path}/cancellation", {}, expect=409, code="wrong_state")
    await stage.step("the client has it", member, "POST", f"{path}/receipt-confirmation", code="CLOSED")
    await _on_screen(stage, "the one screen: closed", member, order, "CLOSED")


async def _out_of_stock_and_revived(stage: Stage, seller: Person, member: Person, product: Json) -> None:
    order = (await _ordered(stage, member, product, 2, "another orders two, one is left")).body
    await stage.step(
        "the money came, the stock did not",
        seller,
        "POST",
        _confirmation(order),
        expect=409,
        code="out_of_stock",
        shows=lambda answer: f"{answer.code}, {answer.body['current_status']}",
    )
    await stage.until(
        "payments knows what is owed",
        lambda: seller.ask("GET", f"{BASE}/transfers?refund_owed=true"),
        lambda answer: order["order_id"] in [item["order_id"] for item in answer.body["items"]],
        within=WITHIN,
        shows=lambda answer: f"{len(answer.body['items'])} refunds owed",
    )
    restock = f"{BASE}/products/{product['product_id']}/restock"
    await stage.step(
        "more comes in",
        seller,
        "POST",
        restock,
        {"quantity": 2},
        shows=lambda answer: f"{answer.body['stock']} in stock",
    )
    revival = f"{BASE}/orders/{order['order_id']}/revival"
    await stage.step("the order is revived", seller, "POST", revival, code="AWAITING_PAYMENT")
    await stage.step("and confirmed", seller, "POST", _confirmation(order), code="PAYMENT_CONFIRMED")
    await _on_screen(stage, "it is on its way, too", member, order, "DELIVERING")


async def _cancel_or_confirm(stage: Stage, seller: Person, member: Person, product: Json) -> None:
    order = (await _ordered(stage, member, product, 1, "one more order")).body
    cancellation = f"{BASE}/orders/{order['order_id']}/cancellation"
    answers = await asyncio.gather(
        member.ask("POST", cancellation, {"reason": "changed my mind"}), seller.ask("POST", _confirmation(order))
    )
    text = "cancelled and confirmed at the same instant"
    came = [(answer.status, answer.code) for answer in answers]
    stage.note(
        text,
        "POST",
        " and ".join(f"{status} {code}" for status, code in came),
        max(answer.took_ms for answer in answers),
    )
    stage.must(sorted(status for status, _ in came) == [200, 409], text, "expected that exactly one wins")
    won = "ORDER_CANCELLED" if came[0][0] == 200 else "DELIVERING"
    await _on_screen(stage, "the one screen knows who won", member, order, won)


async def _overview(stage: Stage, *members: Person) -> None:
    for member in members:
        await stage.step(
            f"the one screen of {member.name.partition('-')[0]}",
            member,
            "GET",
            f"{BASE}/order-status",
            shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected orders",
        )
