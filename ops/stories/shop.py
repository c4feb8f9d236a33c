"""The story of the shop: order, confirm the payment, deliver, out of stock, revive, cancel or confirm."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from ops.stories.runner import Answer, Json, Person, StoryRunner, counted

TITLE = "Shop"
BASE = "/v1/shop"
WITHIN = 10


async def play(runner: StoryRunner) -> None:
    kim, han = runner.staff("kim"), runner.staff("han")
    minji, jun = runner.customer("minji"), runner.customer("jun")
    teapot = await _registered(runner, kim, "Teapot", stock=3)
    order = await _ordered_and_repeated(runner, minji, teapot)
    await _paid(runner, kim, han, order)
    await _delivered(runner, minji, order)
    await _out_of_stock_and_revived(runner, kim, jun, teapot)
    await _cancel_or_confirm(runner, kim, jun, teapot)
    await _overview(runner, minji, jun)


async def _registered(runner: StoryRunner, staff: Person, name: str, stock: int) -> Json:
    new = {"name": f"{name} {runner.run}", "price": 12_000, "stock": stock}
    text = f"the seller offers {name}, {stock} pieces"
    return (await runner.step(text, staff, "POST", f"{BASE}/products", new, expect=201, code="ON_SALE")).body


def _transfer(answer: Answer) -> str:
    transfer = answer.body["transfer"]
    return f"{answer.code}, {answer.body['total']} won as {transfer['reference']}"


async def _ordered(
    runner: StoryRunner, member: Person, product: Json, quantity: int, text: str, key: str = ""
) -> Answer:
    body = {"product_id": product["product_id"], "quantity": quantity}
    return await runner.step(
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


async def _ordered_and_repeated(runner: StoryRunner, member: Person, product: Json) -> Json:
    key = str(uuid4())
    first = await _ordered(runner, member, product, 2, "a client orders two", key)
    again = await _ordered(runner, member, product, 2, "the same request again, same key", key)
    runner.require(again.body == first.body, "the same request again", "another body than the first time")
    await _on_screen(runner, "the one screen: what comes next", member, first.body, "AWAITING_PAYMENT")
    return first.body


async def _on_screen(runner: StoryRunner, text: str, person: Person, order: Json, status: str) -> Json:
    def shown(answer: Answer) -> str:
        return f"{answer.code}, next {answer.body.get('next_action')}, {len(answer.body.get('timeline', []))} events"

    answer = await runner.until(
        text,
        lambda: person.send("GET", f"{BASE}/order-status/{order['order_id']}"),
        lambda answer: answer.body["status"] == status,
        within=WITHIN,
        shows=shown,
    )
    return answer.body


def _confirmation(order: Json) -> str:
    return f"{BASE}/orders/{order['order_id']}/payment-confirmation"


async def _paid(runner: StoryRunner, seller: Person, other: Person, order: Json) -> None:
    wrong, right = {"amount": order["total"] - 1}, {"amount": order["total"], "depositor": "Minji"}
    path = _confirmation(order)
    await runner.step("a won is missing", seller, "POST", path, wrong, expect=409, code="amount_mismatch")
    answers = await asyncio.gather(*(one.send("POST", path, right) for one in (seller, other)))
    text = "two sellers confirm at the same instant"
    outcome = counted(f"{answer.status} {answer.code}" for answer in answers)
    runner.report(text, "POST", outcome, max(answer.took_ms for answer in answers))
    runner.require(all(answer.status == 200 for answer in answers), text, outcome)
    await runner.step(
        "the stock went down once",
        seller,
        "GET",
        f"{BASE}/products/{order['product_id']}",
        shows=lambda answer: f"{answer.body['stock']} in stock",
        must=lambda answer: None if answer.body["stock"] == 1 else "expected 1",
    )


async def _delivered(runner: StoryRunner, member: Person, order: Json) -> None:
    path = f"{BASE}/orders/{order['order_id']}"
    await _on_screen(runner, "it is on its way", member, order, "DELIVERING")
    await runner.step("too late to cancel", member, "POST", f"{path}/cancellation", {}, expect=409, code="wrong_state")
    await runner.step("the client has it", member, "POST", f"{path}/receipt-confirmation", code="CLOSED")
    await _on_screen(runner, "the one screen: closed", member, order, "CLOSED")


async def _out_of_stock_and_revived(runner: StoryRunner, seller: Person, member: Person, product: Json) -> None:
    order = (await _ordered(runner, member, product, 2, "another orders two, one is left")).body
    await runner.step(
        "the money came, the stock did not",
        seller,
        "POST",
        _confirmation(order),
        expect=409,
        code="out_of_stock",
        shows=lambda answer: f"{answer.code}, {answer.body['current_status']}",
    )
    await runner.until(
        "payments knows what is owed",
        lambda: seller.send("GET", f"{BASE}/transfers?refund_owed=true"),
        lambda answer: order["order_id"] in [item["order_id"] for item in answer.body["items"]],
        within=WITHIN,
        shows=lambda answer: f"{len(answer.body['items'])} refunds owed",
    )
    restock = f"{BASE}/products/{product['product_id']}/restock"
    await runner.step(
        "more comes in",
        seller,
        "POST",
        restock,
        {"quantity": 2},
        shows=lambda answer: f"{answer.body['stock']} in stock",
    )
    revival = f"{BASE}/orders/{order['order_id']}/revival"
    await runner.step("the order is revived", seller, "POST", revival, code="AWAITING_PAYMENT")
    await runner.step("and confirmed", seller, "POST", _confirmation(order), code="PAYMENT_CONFIRMED")
    await _on_screen(runner, "it is on its way, too", member, order, "DELIVERING")


async def _cancel_or_confirm(runner: StoryRunner, seller: Person, member: Person, product: Json) -> None:
    order = (await _ordered(runner, member, product, 1, "one more order")).body
    cancellation = f"{BASE}/orders/{order['order_id']}/cancellation"
    answers = await asyncio.gather(
        member.send("POST", cancellation, {"reason": "changed my mind"}), seller.send("POST", _confirmation(order))
    )
    text = "cancelled and confirmed at the same instant"
    came = [(answer.status, answer.code) for answer in answers]
    runner.report(
        text,
        "POST",
        " and ".join(f"{status} {code}" for status, code in came),
        max(answer.took_ms for answer in answers),
    )
    runner.require(sorted(status for status, _ in came) == [200, 409], text, "expected that exactly one wins")
    won = "ORDER_CANCELLED" if came[0][0] == 200 else "DELIVERING"
    await _on_screen(runner, "the one screen knows who won", member, order, won)


async def _overview(runner: StoryRunner, *members: Person) -> None:
    for member in members:
        await runner.step(
            f"the one screen of {member.name.partition('-')[0]}",
            member,
            "GET",
            f"{BASE}/order-status",
            shows=lambda answer: counted(item["status"] for item in answer.body["items"]),
            must=lambda answer: None if answer.body["items"] else "expected orders",
        )
