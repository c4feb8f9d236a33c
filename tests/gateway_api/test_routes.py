"""Every route asks the right context as the right person."""

import re
from uuid import uuid4

import pytest

from gateway_api.app import all_routes
from gateway_api.door import STAFF
from tests.gateway_api import preorder_routes
from workers.runtime.asking import Reply

CARD = {"method": "card", "token": "tok_visa", "last4": "4242", "brand": "visa"}
ID = str(uuid4())
VIDEO = {"video_id": ID, "title": "Up", "copies": 2}

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
    *preorder_routes.lines(ID, CARD),
    ("GET", "/v1/payments", None, "cso", "payments.list_payments"),
    ("GET", f"/v1/payments/{ID}", None, "cso", "payments.show_payment"),
    ("GET", "/v1/refunds", None, "cso", "payments.list_refunds"),
    ("GET", f"/v1/refunds/{ID}", None, "cso", "payments.show_refund"),
    ("POST", f"/v1/payments/{ID}/refunds", {"amount": 1, "reason": "scratched"}, "so", "payments.refund_payment"),
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


@pytest.mark.parametrize(("method", "path", "body", "who", "topic"), ROUTES, ids=[f"{r[0]} {r[4]}" for r in ROUTES])
async def test_a_route(door, asker, method, path, body, who, topic):
    created = method == "POST" and path.endswith(("/videos", "/rentals", "/refunds", *preorder_routes.CREATE))
    asker.says(topic, dict.fromkeys(("video_id", "rental_id", "refund_id", *preorder_routes.IDS), ID))

    for role, letter in WHO.items():
        asker.asked.clear()
        answer = await door.request(method, path, json=body, as_=f"{role}:kim")

        if letter in who:
            assert answer.status_code == (201 if created else 200)
            assert [asked.topic for asked in asker.asked] == [topic]
            assert asker.body.get("caller", {"role": role})["role"] == role
            assert ID in str(asker.body) or ID not in path
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "wrong_role")
            assert not asker.asked

    assert (await door.request(method, path, json=body)).status_code == 401


def test_the_table_above_is_complete():
    def template(path: str) -> str:
        return re.sub(r"\{[a-z_]+\}", ID, path)

    assert [(route.method, template(route.path)) for route in all_routes()] == [(r[0], r[1]) for r in ROUTES]


def test_whoever_staff_are_operators_may_too():
    assert {"staff", "operator"} == STAFF
    for route in all_routes():
        assert "staff" not in route.who or "operator" in route.who


def test_every_wait_below_is_shorter_than_the_doors(make_settings):
    settings = make_settings(video_rental_payment_ms=9000)

    for route in all_routes():
        if route.asks.topic.endswith(("book_video", "pay_late_fee")):
            assert route.budget(settings) > 9


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/v1/video-rental/rentals", "member_id"),
        ("/v1/video-rental/my-page", "member_id"),
        ("/v1/payments", "payer"),
        ("/v1/refunds", "payer"),
    ],
)
async def test_a_customer_sees_only_what_is_theirs(door, asker, path, owner):
    await door.get(path, as_="customer:kim")
    await door.get(f"{path}?{owner}=kim", as_="customer:kim")
    foreign = await door.get(f"{path}?{owner}=lee", as_="customer:kim")
    await door.get(f"{path}?{owner}=lee&limit=7&cursor=abc", as_="staff:park")
    await door.get(path, as_="operator:ann")

    assert [asked.actor for asked in asker.asked] == ["customer:kim", "customer:kim", "staff:park", "operator:ann"]
    assert (foreign.status_code, foreign.json()["code"]) == (403, "wrong_role")
    assert asker.body[owner] is None
    assert [owner_of(asked, owner) for asked in asker.asked] == ["kim", "kim", "lee", None]


def owner_of(asked, owner):
    found = re.search(rb'"%s":(null|"([a-z]+)")' % owner.encode(), asked.body)
    assert found
    return found[2].decode() if found[2] else None


async def test_filters_and_paging_reach_the_context(door, asker):
    await door.get("/v1/video-rental/rentals?status=BOOKED&limit=200&cursor=a.b", as_="staff:lee")

    assert asker.body == {"member_id": None, "status": "BOOKED", "limit": 200, "cursor": "a.b"}


async def test_the_catalogue_is_shown_while_rentals_cannot_be_asked(door, asker):
    for silence in ("unavailable", "unknown"):
        asker.answers["video_rental.rentals.list_shelf"] = asker.answers["video_rental.rentals.show_shelf"] = Reply(
            silence
        )
        asker.says("video_rental.videos.list_videos", {"items": [VIDEO], "next_cursor": "next"})
        asker.says("video_rental.videos.show_video", VIDEO)

        listed = await door.get("/v1/video-rental/videos?status=AVAILABLE&limit=3", as_="customer:kim")
        shown = await door.get(f"/v1/video-rental/videos/{ID}", as_="customer:kim")

        assert listed.json() == {"items": [{**VIDEO, "available": None}], "next_cursor": "next"}
        assert shown.json() == {**VIDEO, "available": None}


async def test_a_video_that_rentals_has_not_heard_of_is_shown(door, asker):
    asker.refuses("video_rental.rentals.show_shelf", "not_found")
    asker.says("video_rental.videos.show_video", VIDEO)

    assert (await door.get(f"/v1/video-rental/videos/{ID}", as_="customer:kim")).json()["available"] is None


async def test_a_video_that_nobody_knows_is_not_found(door, asker):
    for context in ("rentals.show_shelf", "videos.show_video"):
        asker.refuses(f"video_rental.{context}", "not_found")

    assert (await door.get(f"/v1/video-rental/videos/{ID}", as_="customer:kim")).status_code == 404


async def test_the_catalogue_is_unavailable_when_nobody_answers(door):
    answer = await door.get("/v1/video-rental/videos", as_="customer:kim")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({}, {"title": None, "daily_price": None, "copies": None, "status": None}),
        ({"copies": 0}, {"title": None, "daily_price": None, "copies": 0, "status": None}),
        ({"status": "RETIRED"}, {"title": None, "daily_price": None, "copies": None, "status": "RETIRED"}),
    ],
)
async def test_a_change_says_only_what_changes(door, asker, body, sent):
    await door.patch(f"/v1/video-rental/videos/{ID}", json=body, as_="staff:lee")

    assert asker.body == {"video_id": ID, **sent}


@pytest.mark.parametrize(
    "body", [{"title": None}, {"copies": None}, {"status": "LOST"}, {"daily_price": 0}, {"title": " "}]
)
async def test_a_change_that_is_none(door, body):
    answer = await door.patch(f"/v1/video-rental/videos/{ID}", json=body, as_="staff:lee")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
