"""The routes of the shop: valid requests, and the HTTP status of each refusal."""

import pytest

from gateway_api.problem_kinds import kind_of

BASE = "/v1/shop"
ID = "5f0c2a4e-6f3b-4b53-9a1e-0d9d6c8f1b27"
ORDER = {"product_id": ID, "quantity": 2}
CONFIRM = "shop.orders.confirm_payment"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/products", {"name": "Pot", "price": 0, "stock": 1}, "price"),
        ("/products", {"name": " ", "price": 1, "stock": 1}, "name"),
        ("/products", {"name": "Pot", "price": 1, "stock": -1}, "stock"),
        ("/products", {"name": "Pot", "price": 1}, "stock"),
        ("/products", {"name": "Pot", "price": "1", "stock": 1}, "price"),
        (f"/products/{ID}/restock", {"quantity": 0}, "quantity"),
        (f"/products/{ID}/restock", {}, "quantity"),
        (f"/orders/{ID}/payment-confirmation", {"amount": -1}, "amount"),
        (f"/orders/{ID}/payment-confirmation", {"depositor": " "}, "depositor"),
        (f"/orders/{ID}/payment-confirmation", {"sum": 1}, "sum"),
        (f"/orders/{ID}/cancellation", {"reason": ""}, "reason"),
        (f"/orders/{ID}/revival", {"deadline": "tomorrow"}, "deadline"),
    ],
)
async def test_an_invalid_body_names_its_field_and_sends_no_request(client, rpc, path, body, field):
    answer = await client.post(BASE + path, json=body, as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not rpc.requests


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"product_id": ID, "quantity": 0}, "quantity"),
        ({"product_id": ID, "quantity": 10_001}, "quantity"),
        ({"product_id": ID}, "quantity"),
        ({"product_id": "teapot", "quantity": 1}, "product_id"),
        ({**ORDER, "unit_price": 1}, "unit_price"),
    ],
)
async def test_an_invalid_order_is_refused(client, rpc, body, field):
    answer = await client.post(f"{BASE}/orders", json=body, as_="customer:kim")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not rpc.requests


async def test_an_order_is_created_with_its_location(client, rpc):
    rpc.replies_with("shop.orders.place_order", {"order_id": ID, "status": "ORDER_PLACED"})

    answer = await client.post(f"{BASE}/orders", json=ORDER, as_="customer:kim")

    assert (answer.status_code, answer.headers["location"]) == (201, f"{BASE}/orders/{ID}")
    assert rpc.body["caller"]["member_id"] == "kim"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("amount_mismatch", 409),
        ("out_of_stock", 409),
        ("deadline_passed", 409),
        ("wrong_state", 409),
        ("product_not_on_sale", 409),
        ("still_confirming", 503),
    ],
)
async def test_a_refusal_has_its_status_and_texts_in_both_languages(client, rpc, code, status):
    rpc.refuses(CONFIRM, code, current_status="CONFIRMING", allowed_actions=["payment-confirmation"])

    path = f"{BASE}/orders/{ID}/payment-confirmation"
    korean = await client.post(path, json={"depositor": "김철수"}, as_="staff:lee")
    english = await client.post(path, as_="staff:lee", headers={"accept-language": "en"})

    assert (korean.status_code, english.status_code) == (status, status)
    assert (korean.json()["title"], english.json()["title"]) == (kind_of(code).ko.title, kind_of(code).en.title)
    assert korean.json()["current_status"] == "CONFIRMING"
    assert ("retry-after" in korean.headers) is (status == 503)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", None), ("?refund_owed=true", True), ("?refund_owed=false&status=TRANSFER_CANCELLED", False)],
)
async def test_transfers_are_filtered_by_what_is_owed(client, rpc, query, expected):
    await client.get(f"{BASE}/transfers{query}", as_="staff:lee")

    assert rpc.body["refund_owed"] is expected
    assert rpc.body["status"] == ("TRANSFER_CANCELLED" if "status" in query else None)


@pytest.mark.parametrize("query", ["transfers?refund_owed=1", "transfers?status=PAID", "deliveries?status=LOST"])
async def test_an_invalid_filter_is_refused(client, query):
    assert (await client.get(f"{BASE}/{query}", as_="staff:lee")).status_code == 422


async def test_the_time_limit_of_a_confirmation_covers_the_stock(make_client, rpc):
    await make_client(shop_stock_ms=3000).post(f"{BASE}/orders/{ID}/payment-confirmation", as_="staff:lee")

    assert rpc.time_limits == [5.5]
