"""The routes of phone pre-order: messages that are sent, invalid requests, and answers."""

import pytest

from contracts.outcomes import Outcome
from gateway_api.app import all_routes
from workers.runtime.messaging.envelope import RpcReply

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
BASE = "/v1/preorder"
CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
WISH = {"product_id": ID, "address": "서울시 중구 세종대로 110", "payment": CARD}
NEW = {"name": "Haneul 9", "price": 1_250_000, "quota": 3}


async def test_a_reservation_is_sent_to_its_context_and_answered_as_created(client, rpc):
    rpc.replies_with("preorder.reservations.reserve_phone", {"reservation_id": ID, "status": "CONFIRMED"})

    answer = await client.post(f"{BASE}/reservations", json=WISH, as_="customer:kim")

    assert (answer.status_code, answer.headers["location"]) == (201, f"{BASE}/reservations/{ID}")
    assert rpc.body == {
        **WISH,
        "expected_price": None,
        "caller": {"member_id": "kim", "role": "customer", "grade": "STANDARD"},
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**WISH, "address": ""},
        {**WISH, "address": "  "},
        {**WISH, "address": "x" * 501},
        {**WISH, "address": None},
        {**WISH, "product_id": "phone"},
        {**WISH, "price": 1},
        {**WISH, "payment": {**CARD, "token": "visa"}},
        {**WISH, "payment": {**CARD, "cvc": "123"}},
    ],
)
async def test_an_invalid_reservation_is_refused(client, rpc, body):
    answer = await client.post(f"{BASE}/reservations", json=body, as_="customer:kim")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert not rpc.requests
    assert "세종대로" not in answer.text


async def test_a_card_number_in_the_address_is_refused(client, rpc):
    body = {**WISH, "address": "4111 1111 1111 1111"}

    answer = await client.post(f"{BASE}/reservations", json=body, as_="customer:kim")

    assert (answer.status_code, answer.json()["code"]) == (422, "card_number_refused")
    assert not rpc.requests


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("closed", 409),
        ("already_reserved", 409),
        ("quota_full", 409),
        ("cancelled", 409),
        ("payment_declined", 402),
        ("payment_unavailable", 503),
        ("not_found", 404),
    ],
)
@pytest.mark.parametrize("language", ["ko", "en"])
async def test_a_refusal_has_its_status_and_its_texts(client, rpc, code, status, language):
    rpc.refuses("preorder.reservations.reserve_phone", code, reservation_id=ID)

    answer = await client.post(
        f"{BASE}/reservations", json=WISH, as_="customer:kim", headers={"accept-language": language}
    )

    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["reservation_id"]) == (status, code, ID)
    assert problem["title"].isascii() == (language == "en")
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_an_unknown_outcome_names_the_status_url(client, rpc):
    rpc.answers["preorder.reservations.reserve_phone"] = RpcReply(Outcome.UNKNOWN)

    answer = await client.post(f"{BASE}/reservations", json=WISH, as_="customer:kim")

    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown")
    assert answer.json()["status_url"].startswith(f"{BASE}/my-reservations/")


@pytest.mark.parametrize("body", [NEW, {"name": "Haneul 9", "price": 1}, {**NEW, "quota": 0}])
async def test_a_product_with_or_without_a_quota(client, rpc, body):
    rpc.replies_with("preorder.products.register_product", {"product_id": ID})

    answer = await client.post(f"{BASE}/products", json=body, as_="staff:lee")

    assert answer.status_code == 201
    assert {name: rpc.body[name] for name in ("name", "price", "quota")} == {"quota": None, **body}


@pytest.mark.parametrize("change", [{"name": " "}, {"price": 0}, {"price": 1.5}, {"quota": -1}, {"status": "OPEN"}])
async def test_an_invalid_product_is_refused(client, rpc, change):
    answer = await client.post(f"{BASE}/products", json={**NEW, **change}, as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("body", [{"price": None}, {"quota": None}, {"status": "GONE"}, {"name": "other"}])
async def test_an_invalid_change_is_refused(client, rpc, body):
    answer = await client.patch(f"{BASE}/products/{ID}", json=body, as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_a_field_that_is_not_sent_is_not_changed(client, rpc):
    rpc.replies_with("preorder.products.change_product", {})

    await client.patch(f"{BASE}/products/{ID}", json={"quota": 0}, as_="staff:lee")

    assert rpc.body == {"product_id": ID, "price": None, "quota": 0, "status": None, "expected_version": None}


@pytest.mark.parametrize("path", ["/reservations", "/receipts", "/my-reservations"])
async def test_a_customer_lists_their_own_reservations_and_staff_list_all(client, rpc, path):
    await client.get(BASE + path, as_="customer:kim")
    own = rpc.body["member_id"]
    foreign = await client.get(f"{BASE}{path}?member_id=lee", as_="customer:kim")
    await client.get(f"{BASE}{path}?member_id=lee&limit=7&cursor=a.b", as_="staff:park")

    assert (own, foreign.status_code) == ("kim", 403)
    assert rpc.body == {"member_id": "lee", "status": None, "limit": 7, "cursor": "a.b"}


def test_the_gateway_waits_longer_than_payments_may_take(make_settings):
    route = next(route for route in all_routes() if route.path == f"{BASE}/reservations")

    assert route.operation.time_limit(make_settings(preorder_payment_ms=5000)) > 5
