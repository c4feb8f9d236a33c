"""Every route sends its message, with the right caller, to the right context."""

import re
from importlib import import_module
from importlib.util import find_spec
from uuid import uuid4

import pytest

from contracts.outcomes import Outcome
from gateway_api.app import all_routes
from gateway_api.gateway import STAFF
from ops.settings import SystemSettings
from tests.gateway_api import preorder_routes
from workers.registry import SYSTEMS
from workers.runtime.messaging.envelope import RpcReply

CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
TOP_UP = {"amount": 1000, "payment": CARD}
ID, OTHER = str(uuid4()), str(uuid4())
VIDEO = {"video_id": ID, "title": "Up", "copies": 2}
UNCOUNTED = {"available": None, "booked": None, "rented": None}

CREATED = {
    "videos": "video_id",
    "rentals": "rental_id",
    "refunds": "refund_id",
    "menu": "menu_item_id",
    "products": "product_id",
    "orders": "order_id",
    "top-ups": "top_up_id",
    "credits": "top_up_id",
    "withdrawals": "withdrawal_id",
    "bikes": "bike_id",
    "rides": "ride_id",
    "tickets": "ticket_id",
    "discount-policies": "policy_id",
    "reservations": "reservation_id",
}
"""The name of the id in the answer, by the last part of the path."""
WAITING = (
    "video_rental.rentals.book_video",
    "video_rental.rentals.pay_late_fee",
    "shop.orders.confirm_payment",
    "cafe.orders.place_order",
    "bike_sharing.deposits.top_up_deposit",
    "bike_sharing.deposits.withdraw_deposit",
    "bike_sharing.rides.start_ride",
    "ticketing.reservations.reserve_ticket",
    "preorder.reservations.reserve_phone",
)
"""The messages whose handlers wait for another context."""

WHO = {"customer": "c", "staff": "s", "operator": "o"}

ROUTES = [
    (
        "POST",
        "/v1/video-rental/videos",
        {"title": "Up", "daily_price": 1000},
        "so",
        "video_rental.videos.register_video",
    ),
    ("GET", "/v1/video-rental/videos", None, "cso", "video_rental.rentals.list_shelf"),
    ("GET", f"/v1/video-rental/videos/{ID}", None, "cso", "video_rental.rentals.show_shelf"),
    ("PATCH", f"/v1/video-rental/videos/{ID}", {"copies": 0}, "so", "video_rental.videos.change_video"),
    ("POST", "/v1/video-rental/rentals", {"video_id": ID, "payment": CARD}, "c", "video_rental.rentals.book_video"),
    ("POST", f"/v1/video-rental/rentals/{ID}/cancellation", {}, "cso", "video_rental.rentals.cancel_booking"),
    ("POST", f"/v1/video-rental/rentals/{ID}/pickup", None, "cso", "video_rental.rentals.pick_up_video"),
    ("POST", f"/v1/video-rental/rentals/{ID}/return", None, "cso", "video_rental.rentals.return_video"),
    (
        "POST",
        f"/v1/video-rental/rentals/{ID}/late-fee-payment",
        {"payment": CARD},
        "c",
        "video_rental.rentals.pay_late_fee",
    ),
    (
        "POST",
        f"/v1/video-rental/rentals/{ID}/late-fee-waiver",
        {"reason": "snow"},
        "so",
        "video_rental.rentals.waive_late_fee",
    ),
    ("GET", "/v1/video-rental/rentals", None, "cso", "video_rental.rentals.list_rentals"),
    ("GET", f"/v1/video-rental/rentals/{ID}", None, "cso", "video_rental.rentals.show_rental"),
    ("GET", "/v1/video-rental/my-page", None, "cso", "video_rental.my_page.list_my_page"),
    ("GET", f"/v1/video-rental/my-page/{ID}", None, "cso", "video_rental.my_page.show_my_page"),
    ("POST", "/v1/cafe/menu", {"name": "Latte", "price": 4500}, "so", "cafe.menu.register_menu_item"),
    ("GET", "/v1/cafe/menu", None, "cso", "cafe.menu.list_menu"),
    ("GET", f"/v1/cafe/menu/{ID}", None, "cso", "cafe.menu.show_menu_item"),
    ("PATCH", f"/v1/cafe/menu/{ID}", {"price": 0}, "so", "cafe.menu.change_menu_item"),
    ("POST", "/v1/cafe/orders", {"menu_item_id": ID}, "c", "cafe.orders.place_order"),
    ("POST", f"/v1/cafe/orders/{ID}/acceptance", None, "so", "cafe.orders.accept_order"),
    ("POST", f"/v1/cafe/orders/{ID}/rejection", {"reason": "no milk"}, "so", "cafe.orders.reject_order"),
    ("POST", f"/v1/cafe/orders/{ID}/ready", None, "so", "cafe.orders.mark_order_ready"),
    ("POST", f"/v1/cafe/orders/{ID}/collection", None, "so", "cafe.orders.collect_order"),
    ("POST", f"/v1/cafe/orders/{ID}/cancellation", None, "c", "cafe.orders.cancel_order"),
    ("GET", "/v1/cafe/orders", None, "cso", "cafe.orders.list_orders"),
    ("GET", "/v1/cafe/orders/menu", None, "so", "cafe.orders.list_known_menu"),
    ("GET", f"/v1/cafe/orders/{ID}", None, "cso", "cafe.orders.show_order"),
    ("GET", "/v1/cafe/report", None, "so", "cafe.report.list_report"),
    ("GET", f"/v1/cafe/report/{ID}", None, "so", "cafe.report.show_report"),
    ("POST", "/v1/shop/products", {"name": "Pot", "price": 1, "stock": 0}, "so", "shop.products.register_product"),
    ("GET", "/v1/shop/products", None, "cso", "shop.products.list_products"),
    ("GET", f"/v1/shop/products/{ID}", None, "cso", "shop.products.show_product"),
    ("PATCH", f"/v1/shop/products/{ID}", {"price": 2}, "so", "shop.products.change_product"),
    ("POST", f"/v1/shop/products/{ID}/restock", {"quantity": 1}, "so", "shop.products.restock_product"),
    ("POST", "/v1/shop/orders", {"product_id": ID, "quantity": 1}, "c", "shop.orders.place_order"),
    ("POST", f"/v1/shop/orders/{ID}/cancellation", {}, "cso", "shop.orders.cancel_order"),
    ("POST", f"/v1/shop/orders/{ID}/payment-confirmation", {"amount": 1}, "so", "shop.orders.confirm_payment"),
    ("POST", f"/v1/shop/orders/{ID}/revival", None, "so", "shop.orders.revive_order"),
    ("POST", f"/v1/shop/orders/{ID}/receipt-confirmation", None, "c", "shop.orders.confirm_receipt"),
    ("GET", "/v1/shop/orders", None, "cso", "shop.orders.list_orders"),
    ("GET", f"/v1/shop/orders/{ID}", None, "cso", "shop.orders.show_order"),
    ("GET", "/v1/shop/deliveries", None, "so", "shop.deliveries.list_deliveries"),
    ("GET", "/v1/shop/transfers", None, "so", "payments.list_transfers"),
    ("GET", "/v1/shop/order-status", None, "cso", "shop.order_status.list_order_status"),
    ("GET", f"/v1/shop/order-status/{ID}", None, "cso", "shop.order_status.show_order_status"),
    ("POST", "/v1/bike-sharing/deposits/top-ups", TOP_UP, "c", "bike_sharing.deposits.top_up_deposit"),
    ("GET", "/v1/bike-sharing/deposits/top-ups", None, "cso", "bike_sharing.deposits.list_top_ups"),
    ("GET", f"/v1/bike-sharing/deposits/top-ups/{ID}", None, "cso", "bike_sharing.deposits.show_top_up"),
    (
        "POST",
        f"/v1/bike-sharing/deposits/{ID}/credits",
        {"amount": 1, "reason": "sorry"},
        "so",
        "bike_sharing.deposits.credit_deposit",
    ),
    ("POST", "/v1/bike-sharing/deposits/withdrawals", {"amount": 1}, "c", "bike_sharing.deposits.withdraw_deposit"),
    ("GET", "/v1/bike-sharing/deposits/withdrawals", None, "cso", "bike_sharing.deposits.list_withdrawals"),
    ("GET", f"/v1/bike-sharing/deposits/withdrawals/{ID}", None, "cso", "bike_sharing.deposits.show_withdrawal"),
    (
        "POST",
        f"/v1/bike-sharing/deposits/withdrawals/{ID}/payout",
        {"reference": "KB 0412"},
        "so",
        "bike_sharing.deposits.pay_out_withdrawal",
    ),
    ("GET", "/v1/bike-sharing/deposits/me", None, "c", "bike_sharing.deposits.show_deposit"),
    ("GET", "/v1/bike-sharing/deposits", None, "so", "bike_sharing.deposits.list_deposits"),
    ("GET", f"/v1/bike-sharing/deposits/{ID}", None, "so", "bike_sharing.deposits.show_deposit"),
    ("GET", f"/v1/bike-sharing/deposits/{ID}/entries", None, "cso", "bike_sharing.deposits.list_entries"),
    ("POST", "/v1/bike-sharing/bikes", {"code": "B1", "location": "x"}, "so", "bike_sharing.bikes.register_bike"),
    ("GET", "/v1/bike-sharing/bikes", None, "cso", "bike_sharing.bikes.list_bikes"),
    ("GET", f"/v1/bike-sharing/bikes/{ID}", None, "cso", "bike_sharing.bikes.show_bike"),
    ("PATCH", f"/v1/bike-sharing/bikes/{ID}", {"status": "BROKEN"}, "so", "bike_sharing.bikes.change_bike"),
    ("POST", "/v1/bike-sharing/rides", {"bike_id": ID}, "c", "bike_sharing.rides.start_ride"),
    ("POST", f"/v1/bike-sharing/rides/{ID}/return", {"location": "x"}, "c", "bike_sharing.rides.return_bike"),
    ("POST", f"/v1/bike-sharing/rides/{ID}/end", {"reason": "lost"}, "so", "bike_sharing.rides.end_ride"),
    ("GET", "/v1/bike-sharing/rides", None, "cso", "bike_sharing.rides.list_rides"),
    ("GET", f"/v1/bike-sharing/rides/{ID}", None, "cso", "bike_sharing.rides.show_ride"),
    ("GET", "/v1/bike-sharing/billings", None, "cso", "bike_sharing.billing.list_bills"),
    ("GET", f"/v1/bike-sharing/billings/{ID}", None, "cso", "bike_sharing.billing.show_bill"),
    ("GET", "/v1/bike-sharing/ride-history", None, "cso", "bike_sharing.ride_history.list_ride_history"),
    ("GET", f"/v1/bike-sharing/ride-history/{ID}", None, "cso", "bike_sharing.ride_history.show_ride_history"),
    *preorder_routes.lines(ID, CARD),
    ("GET", "/v1/payments", None, "cso", "payments.list_payments"),
    ("GET", f"/v1/payments/{ID}", None, "cso", "payments.show_payment"),
    ("GET", "/v1/refunds", None, "cso", "payments.list_refunds"),
    ("GET", f"/v1/refunds/{ID}", None, "cso", "payments.show_refund"),
    ("POST", f"/v1/payments/{ID}/refunds", {"amount": 1, "reason": "scratched"}, "so", "payments.refund_payment"),
    ("GET", "/v1/payment-provider", None, "so", "payments.show_provider"),
    ("GET", "/v1/payment-discrepancies", None, "so", "payments.list_discrepancies"),
    (
        "POST",
        f"/v1/payment-discrepancies/{ID}/resolution",
        {"resolution": "called them"},
        "so",
        "payments.resolve_discrepancy",
    ),
    (
        "POST",
        f"/v1/shop/transfers/{ID}/return",
        {"amount": 3000, "reference": "B-1"},
        "so",
        "payments.return_transfer",
    ),
    (
        "PUT",
        f"/v1/shop/orders/{ID}/refund-account",
        {"bank": "국민은행", "number": "110-234-567890", "holder": "김예약"},
        "c",
        "payments.name_refund_account",
    ),
    ("GET", "/v1/operations/town", None, "o", "journal.show_town"),
    ("GET", f"/v1/operations/stories/{ID}", None, "o", "journal.tell_story"),
    ("GET", "/v1/operations/dead-letters", None, "o", "journal.list_dead_letters"),
    ("GET", f"/v1/operations/dead-letters/{ID}", None, "o", "journal.show_dead_letter"),
    (
        "POST",
        f"/v1/operations/dead-letters/{ID}/resolution",
        {"action": "replay", "reason": "fixed"},
        "o",
        "journal.resolve_dead_letter",
    ),
]


for module in (import_module(f"tests.{system}.routes") for system in SYSTEMS if find_spec(f"tests.{system}.routes")):
    ROUTES += [(method, path.replace(module.ID, ID), *rest) for method, path, *rest in module.ROUTES]
    CREATED.update(module.CREATED)


@pytest.mark.parametrize(("method", "path", "body", "who", "topic"), ROUTES, ids=[f"{r[0]} {r[4]}" for r in ROUTES])
async def test_each_route_sends_its_message_for_its_roles(client, rpc, method, path, body, who, topic):
    created = method == "POST" and path.rpartition("/")[2] in CREATED
    rpc.replies_with(topic, dict.fromkeys(CREATED.values(), ID))

    for role, letter in WHO.items():
        rpc.requests.clear()
        answer = await client.request(method, path, json=body, as_=f"{role}:kim")

        if letter in who:
            assert answer.status_code == (201 if created else 204 if method == "DELETE" else 200)
            assert [request.topic for request in rpc.requests] == [topic]
            assert rpc.body.get("caller", {"role": role})["role"] == role
            assert ID in str(rpc.body) or ID not in path
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
            assert not rpc.requests

    assert (await client.request(method, path, json=body)).status_code == 401


def test_the_table_of_routes_is_complete():
    def template(path: str) -> str:
        return re.sub(r"\{[a-z_]+\}", ID, path)

    routes = [(route.operation.method, template(route.path)) for route in all_routes()]
    assert sorted(routes) == sorted((r[0], r[1]) for r in ROUTES)


def test_operators_may_do_what_staff_may_do():
    assert {"staff", "operator"} == STAFF
    for route in all_routes():
        assert "staff" not in route.roles or "operator" in route.roles


def test_every_wait_for_a_context_is_shorter_than_the_gateways(make_settings):
    """Every wait for another context is a setting in milliseconds."""
    waits = {
        name: 9000 for name in SystemSettings.model_fields if name.endswith(("_payment_ms", "_take_ms", "_stock_ms"))
    }
    settings = make_settings(**waits, cafe_price_ms=9000)

    for route in all_routes():
        if route.operation.message.topic in WAITING:
            assert route.operation.time_limit(settings) > 9


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/v1/video-rental/rentals", "member_id"),
        ("/v1/video-rental/my-page", "member_id"),
        ("/v1/cafe/orders", "member_id"),
        ("/v1/shop/orders", "member_id"),
        ("/v1/shop/order-status", "member_id"),
        ("/v1/bike-sharing/deposits/top-ups", "member_id"),
        ("/v1/bike-sharing/deposits/withdrawals", "member_id"),
        ("/v1/bike-sharing/rides", "member_id"),
        ("/v1/bike-sharing/billings", "member_id"),
        ("/v1/bike-sharing/ride-history", "member_id"),
        ("/v1/ticketing/reservations", "member_id"),
        ("/v1/ticketing/board/reservations", "member_id"),
        ("/v1/payments", "payer"),
        ("/v1/refunds", "payer"),
    ],
)
async def test_a_customer_sees_only_what_is_theirs(client, rpc, path, owner):
    await client.get(path, as_="customer:kim")
    await client.get(f"{path}?{owner}=kim", as_="customer:kim")
    foreign = await client.get(f"{path}?{owner}=lee", as_="customer:kim")
    await client.get(f"{path}?{owner}=lee&limit=7&cursor=abc", as_="staff:park")
    await client.get(path, as_="operator:ann")

    assert [request.actor for request in rpc.requests] == ["customer:kim", "customer:kim", "staff:park", "operator:ann"]
    assert (foreign.status_code, foreign.json()["code"]) == (403, "wrong_role")
    assert rpc.body[owner] is None
    assert [owner_of(request, owner) for request in rpc.requests] == ["kim", "kim", "lee", None]


def owner_of(request, owner):
    found = re.search(rb'"%s":(null|"([a-z]+)")' % owner.encode(), request.body)
    assert found
    return found[2].decode() if found[2] else None


async def test_filters_and_paging_reach_the_context(client, rpc):
    await client.get(f"/v1/video-rental/rentals?status=BOOKED&video_id={ID}&limit=200&cursor=a.b", as_="staff:lee")

    assert rpc.body == {"member_id": None, "video_id": ID, "status": "BOOKED", "limit": 200, "cursor": "a.b"}


async def test_the_catalogue_is_shown_while_rentals_are_unavailable(client, rpc):
    for kind in (Outcome.UNAVAILABLE, Outcome.UNKNOWN):
        rpc.answers["video_rental.rentals.list_shelf"] = rpc.answers["video_rental.rentals.show_shelf"] = RpcReply(kind)
        rpc.replies_with("video_rental.videos.list_videos", {"items": [VIDEO], "next_cursor": "next"})
        rpc.replies_with("video_rental.videos.show_video", VIDEO)

        listed = await client.get("/v1/video-rental/videos?status=AVAILABLE&limit=3", as_="customer:kim")
        shown = await client.get(f"/v1/video-rental/videos/{ID}", as_="customer:kim")

        assert listed.json() == {"items": [{**VIDEO, **UNCOUNTED}], "next_cursor": "next"}
        assert shown.json() == {**VIDEO, **UNCOUNTED}


PHONE = {"product_id": ID, "name": "Haneul 9", "price": 1, "quota": 5, "status": "OPEN"}
UNLIMITED = {**PHONE, "product_id": OTHER, "quota": None}


@pytest.mark.parametrize(
    ("counted", "available"),
    [({"counts": [{"product_id": ID, "free": 3}]}, 3), (None, None)],
    ids=["reply", "no reply"],
)
async def test_phones_are_shown_with_their_stock_while_reservations_are_available(client, rpc, counted, available):
    rpc.replies_with("preorder.products.list_products", {"items": [PHONE, UNLIMITED], "next_cursor": None})
    rpc.replies_with("preorder.products.show_product", PHONE)
    if counted:
        rpc.replies_with("preorder.reservations.count_free", counted)

    listed = await client.get("/v1/preorder/products", as_="customer:kim")
    shown = await client.get(f"/v1/preorder/products/{ID}", as_="customer:kim")

    assert [item["available"] for item in listed.json()["items"]] == [available, None]
    assert shown.json() == {**PHONE, "available": available}
    assert rpc.body == {"product_ids": [ID]}
    assert max(rpc.time_limits[1::2]) < 2


async def test_phones_without_a_quota_are_shown_without_a_request_to_reservations(client, rpc):
    rpc.replies_with("preorder.products.show_product", UNLIMITED)

    shown = await client.get(f"/v1/preorder/products/{OTHER}", as_="customer:kim")

    assert shown.json() == {**UNLIMITED, "available": None}
    assert [request.topic for request in rpc.requests] == ["preorder.products.show_product"]


async def test_a_video_that_rentals_does_not_know_yet_is_shown(client, rpc):
    rpc.refuses("video_rental.rentals.show_shelf", "not_found")
    rpc.replies_with("video_rental.videos.show_video", VIDEO)

    assert (await client.get(f"/v1/video-rental/videos/{ID}", as_="customer:kim")).json()["available"] is None


async def test_an_unknown_video_is_not_found(client, rpc):
    for context in ("rentals.show_shelf", "videos.show_video"):
        rpc.refuses(f"video_rental.{context}", "not_found")

    assert (await client.get(f"/v1/video-rental/videos/{ID}", as_="customer:kim")).status_code == 404


async def test_the_catalogue_is_unavailable_without_a_reply(client):
    answer = await client.get("/v1/video-rental/videos", as_="customer:kim")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
