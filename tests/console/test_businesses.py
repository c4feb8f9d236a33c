"""The console's description of each business: next actions, history, and initial form values."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway_api.console import payments
from gateway_api.console.businesses import cafe, preorder, ticketing
from gateway_api.console.words import day
from tests.console.conftest import rental

HOUR = "2026-03-01T{:02}:00:00Z"


def reservation(status: str, ticket_status: str = "RESERVED") -> dict[str, Any]:
    return {"status": status, "ticket": {"status": ticket_status, "starts_at": HOUR.format(20)}}


def test_a_reservation_whose_ticket_is_over_is_not_shown_as_open():
    assert ticketing.business.records.next(reservation("RESERVED")) is not None
    assert ticketing.business.records.next(reservation("RESERVED", "EXPIRED")) is None


@pytest.mark.parametrize(
    ("status", "shown"),
    [("ORDERED", ["OrderPlaced"]), ("READY", ["OrderPlaced", "OrderMarkedReady"])],
)
def test_a_cafe_order_shows_when_it_was_placed_and_changed(status, shown):
    order = {"status": status, "reason": None, "created_at": HOUR.format(1), "modified_at": HOUR.format(2)}

    assert [line["what"] for line in cafe.business.records.timeline(order)] == shown


def test_a_refund_begins_with_what_is_left():
    payment = {"amount": 5000, "refunded": 2000, "refunding": 500}

    assert payments.refund.fields[0].initial_value(payment) == "2500"
    assert payments.refund.fields[0].initial_value({}) == ""


def test_a_day_is_formatted_for_seoul():
    assert (day(date(2024, 2, 20), "ko"), day(date(2024, 2, 20), "en")) == ("2024년 2월 20일 (화)", "Tue 20 Feb 2024")


async def test_reservations_are_shown_with_their_tickets_by_one_request(browser, rpc):
    times = {"starts_at": HOUR.format(20), "ends_at": HOUR.format(22)}
    held = {
        **{name: rental()[name] for name in ("member_id", "created_at", "modified_at", "version", "reason")},
        "status": "RESERVED",
        "ticket_id": rental()["video_id"],
        "ticket": {"ticket_id": rental()["video_id"], "name": "Hamlet", "status": "RESERVED", **times},
        "price": {"base": 1, "lines": [], "total": 1, "grade": "STANDARD"},
    }
    items = [{**held, "reservation_id": id} for id in (rental()["rental_id"], rental()["payment_id"])]
    rpc.replies_with("ticketing.board.list_board_reservations", {"items": items, "next_cursor": None, "as_of": "now"})
    await browser.sign_in("kim")

    page = await browser.look("/ticketing/reservations")

    assert page.text.count("Hamlet") >= 2
    topics = [request.topic for request in rpc.requests if request.topic.startswith("ticketing.")]
    assert topics == ["ticketing.board.list_board_reservations"]


async def test_a_related_thing_of_several_items_is_requested_once(browser, rpc):
    delivery = {"status": "DELIVERING", "product_id": rental()["video_id"], **dict.fromkeys(("quantity", "version"), 1)}
    times = {name: rental()[name] for name in ("member_id", "created_at", "modified_at")}
    items = [{**delivery, **times, "order_id": id} for id in (rental()["rental_id"], rental()["payment_id"])]
    rpc.replies_with("shop.deliveries.list_deliveries", {"items": items, "next_cursor": None})
    await browser.sign_in("choi")

    page = await browser.look("/shop/deliveries")

    assert page.status_code == 200
    assert len([request for request in rpc.requests if request.topic == "shop.products.show_product"]) == 1


@pytest.mark.parametrize(
    ("changes", "state", "offered"),
    [
        ({"available": 3}, "Open", True),
        ({"available": None}, "Open", True),
        ({"available": 0}, "All reserved", False),
        ({"available": 0, "status": "CLOSED"}, "Closed", False),
    ],
)
def test_a_phone_can_be_reserved_while_any_is_left(changes, state, offered):
    phone = {"status": "OPEN", "quota": 5, **changes}
    shelf = preorder.business.catalogue

    shown = shelf.state(phone)

    assert shown is not None
    assert shown.en == state
    assert shelf.action("reserve").when(phone) is offered
