"""The café over HTTP: routes, answers, and requests that are refused by the gateway."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Caller
from tests.cafe.conftest import Send
from tests.cafe.helpers import wait_for_view
from tests.support.system import STAFF, System

LATTE = {"name": "Latte", "price": 4500}
NOWHERE = uuid4()


async def registered(send: Send, **fields: Any) -> dict[str, Any]:
    answer = await send(STAFF, "POST", "/menu", LATTE | fields)
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/cafe/menu/{answer.json()['menu_item_id']}")
    item: dict[str, Any] = answer.json()
    return item


async def test_an_order_from_placement_to_collection(system: System, send: Send, kim: Caller) -> None:
    item = await registered(send)
    command = {"menu_item_id": item["menu_item_id"], "quantity": 2, "expected_price": 4500}

    placed = await send(kim, "POST", "/orders", command, key="tap")
    order = placed.json()
    path = f"/orders/{order['order_id']}"
    again = await send(kim, "POST", "/orders", command, key="tap")
    other = await send(kim, "POST", "/orders", command | {"quantity": 3}, key="tap")
    steps = [await send(STAFF, "POST", f"{path}/{action}") for action in ("acceptance", "ready", "collection")]
    late = await send(kim, "POST", f"{path}/cancellation")
    await wait_for_view(system, item, orders_today=1)
    report = await send(STAFF, "GET", f"/report/{item['menu_item_id']}?min_version=1")

    assert (placed.status_code, placed.headers["location"]) == (201, f"/v1/cafe{path}")
    assert (order["status"], order["price"], order["total"]) == ("ORDERED", 4500, 9000)
    assert (again.status_code, again.headers["idempotency-replayed"], again.json()) == (201, "true", order)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert [(step.status_code, step.json()["status"]) for step in steps] == [
        (200, "ACCEPTED"),
        (200, "READY"),
        (200, "COLLECTED"),
    ]
    assert (late.status_code, late.json()["code"], late.json()["current_status"], late.json()["allowed_actions"]) == (
        409,
        "wrong_state",
        "COLLECTED",
        [],
    )
    assert (await send(kim, "GET", path)).json()["status"] == "COLLECTED"
    listed = (await send(kim, "GET", "/orders?status=COLLECTED")).json()
    assert [one["order_id"] for one in listed["items"]] == [order["order_id"]]
    assert (report.json()["orders_today"], report.json()["changed_by"]) == (1, "staff")
    assert [line["what"] for line in report.json()["timeline"]] == ["MenuItemRegistered"]


async def test_two_requests_with_one_key_are_one_order(send: Send, kim: Caller) -> None:
    item = await registered(send)

    taps = await asyncio.gather(
        *(send(kim, "POST", "/orders", {"menu_item_id": item["menu_item_id"]}, key="double") for _ in range(2))
    )

    assert [tap.status_code for tap in taps] == [201, 201]
    assert taps[0].json() == taps[1].json()
    assert len((await send(kim, "GET", "/orders")).json()["items"]) == 1


async def test_a_refused_order_is_explained_in_both_languages(send: Send, kim: Caller) -> None:
    items = {
        "sold_out": await registered(send, status="SOLD_OUT"),
        "not_for_sale": await registered(send, price=0),
        "price_changed": await registered(send),
    }

    for code, item in items.items():
        command = {"menu_item_id": item["menu_item_id"], "expected_price": 1}
        answers = [await send(kim, "POST", "/orders", command, language=language) for language in ("ko", "en")]

        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, code)] * 2
        assert answers[0].json()["title"] != answers[1].json()["title"]
        assert answers[0].json().get("price") == (4500 if code == "price_changed" else None)
    assert (await send(kim, "GET", "/orders")).json()["items"] == []


async def test_a_stale_version_is_a_conflict(send: Send) -> None:
    item = await registered(send)
    path = f"/menu/{item['menu_item_id']}"

    changed = await send(STAFF, "PATCH", path, {"price": 5000, "expected_version": 1})
    stale = await send(STAFF, "PATCH", path, {"price": 6000, "expected_version": 1})

    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (stale.status_code, stale.json()["code"], stale.json()["version"]) == (409, "stale_version", 2)
    assert (await send(STAFF, "GET", path)).json()["price"] == 5000


async def test_customers_see_only_what_can_be_ordered(send: Send, kim: Caller) -> None:
    latte, gone, unpriced = (
        await registered(send),
        await registered(send, status="SOLD_OUT"),
        await registered(send, price=0),
    )

    mine = {item["menu_item_id"] for item in (await send(kim, "GET", "/menu?limit=200")).json()["items"]}
    all_of_it = {item["menu_item_id"] for item in (await send(STAFF, "GET", "/menu?limit=200")).json()["items"]}
    codes = [(await send(kim, "GET", f"/menu/{item['menu_item_id']}")).status_code for item in (latte, gone, unpriced)]

    assert latte["menu_item_id"] in mine
    assert {gone["menu_item_id"], unpriced["menu_item_id"]} <= all_of_it - mine
    assert codes == [200, 404, 404]


@pytest.mark.parametrize(
    ("who", "method", "path", "body", "field"),
    [
        ("staff", "POST", "/menu", {"name": "Latte"}, "price"),
        ("staff", "POST", "/menu", {"name": " ", "price": 1}, "name"),
        ("staff", "POST", "/menu", LATTE | {"price": -1}, "price"),
        ("staff", "POST", "/menu", LATTE | {"price": 1.5}, "price"),
        ("staff", "POST", "/menu", LATTE | {"price": 10**13}, "price"),
        ("staff", "POST", "/menu", LATTE | {"status": "GONE"}, "status"),
        ("staff", "POST", "/menu", LATTE | {"size": "L"}, "size"),
        ("staff", "PATCH", f"/menu/{NOWHERE}", {"price": None}, "price"),
        ("staff", "PATCH", f"/menu/{NOWHERE}", {"expected_version": 0}, "expected_version"),
        ("customer", "POST", "/orders", {}, "menu_item_id"),
        ("customer", "POST", "/orders", {"menu_item_id": "latte"}, "menu_item_id"),
        ("customer", "POST", "/orders", {"menu_item_id": str(NOWHERE), "quantity": 0}, "quantity"),
        ("customer", "POST", "/orders", {"menu_item_id": str(NOWHERE), "quantity": 1001}, "quantity"),
        ("customer", "POST", "/orders", {"menu_item_id": str(NOWHERE), "quantity": "2"}, "quantity"),
        ("customer", "POST", "/orders", {"menu_item_id": str(NOWHERE), "expected_price": -1}, "expected_price"),
        ("customer", "POST", "/orders", {"menu_item_id": str(NOWHERE), "price": 1}, "price"),
        ("staff", "POST", f"/orders/{NOWHERE}/rejection", {}, "reason"),
        ("staff", "POST", f"/orders/{NOWHERE}/rejection", {"reason": ""}, "reason"),
        ("staff", "POST", f"/orders/{NOWHERE}/acceptance", {"at": 1}, "at"),
        ("customer", "GET", "/orders?status=EATEN", None, "status"),
        ("staff", "GET", "/report?status=GONE", None, "status"),
        ("staff", "GET", f"/report/{NOWHERE}?min_version=-1", None, "min_version"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value).replace(str(NOWHERE), "id"),
)
async def test_an_invalid_field_is_named(
    send: Send, kim: Caller, who: str, method: str, path: str, body: Any, field: str
) -> None:
    answer = await send(STAFF if who == "staff" else kim, method, path, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/menu/latte", None),
        ("GET", f"/menu/{NOWHERE}", None),
        ("PATCH", f"/menu/{NOWHERE}", {"price": 1}),
        ("GET", f"/orders/{NOWHERE}", None),
        ("POST", f"/orders/{NOWHERE}/acceptance", None),
        ("GET", f"/report/{NOWHERE}", None),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value).replace(str(NOWHERE), "id"),
)
async def test_what_does_not_exist_is_not_found(send: Send, method: str, path: str, body: Any) -> None:
    answer = await send(STAFF, method, path, body)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("who", "method", "path"),
    [
        ("customer", "POST", "/menu"),
        ("customer", "PATCH", f"/menu/{NOWHERE}"),
        ("customer", "POST", f"/orders/{NOWHERE}/acceptance"),
        ("customer", "POST", f"/orders/{NOWHERE}/rejection"),
        ("customer", "POST", f"/orders/{NOWHERE}/ready"),
        ("customer", "POST", f"/orders/{NOWHERE}/collection"),
        ("customer", "GET", "/report"),
        ("customer", "GET", f"/report/{NOWHERE}"),
        ("customer", "GET", "/orders?member_id=somebody-else"),
        ("staff", "POST", "/orders"),
        ("staff", "POST", f"/orders/{NOWHERE}/cancellation"),
    ],
    ids=lambda value: str(value).replace(str(NOWHERE), "id"),
)
async def test_a_role_may_not_use_the_routes_of_another(
    send: Send, kim: Caller, who: str, method: str, path: str
) -> None:
    answer = await send(STAFF if who == "staff" else kim, method, path)

    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
