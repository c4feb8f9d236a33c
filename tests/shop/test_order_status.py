"""Order status: next action, deadline and timeline; the same in any order of events, and after a rebuild."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from contracts.base import CATALOGUE, Caller, Event
from contracts.shop.order_status import ListOrderStatus, ShowOrderStatus
from contracts.shop.products import ChangeProduct
from tests.conftest import MakeSettings
from tests.shop.conftest import system_with
from tests.shop.helpers import (
    DELIVERIES,
    ORDER_STATUS,
    ORDERS,
    PRODUCTS,
    REMIND,
    awaiting_payment,
    cancel,
    confirm,
    confirm_receipt,
    expired,
    fire_timers,
    known_product,
    place_order,
    revive,
    view_of,
    wait_for_view,
)
from tests.support.system import STAFF, Json, System
from tests.support.view_databases import rebuild_view, rows_of
from workers.registry import worker

WHOLE_WAY = [
    "OrderPlaced",
    "TransferAwaited",
    "PaymentAwaited",
    "ConfirmationStarted",
    "PaymentConfirmed",
    "TransferConfirmed",
    "DeliveryPrepared",
    "OrderPreparing",
    "DeliveryStarted",
    "OrderDelivering",
    "OrderClosed",
    "DeliveryCompleted",
]


@pytest.fixture(scope="module")
async def system(make_settings: MakeSettings) -> AsyncIterator[System]:
    """The shop with the journal, from which a view is rebuilt."""
    async with system_with(make_settings, "journal") as running:
        yield running


def whats(entry: Json) -> list[str]:
    return [line["what"] for line in entry["timeline"]]


async def test_an_order_is_shown_with_its_parts_and_its_next_action(system: System, kim: Caller) -> None:
    product_id = await known_product(system, price=1500, name="Kettle")
    order = await awaiting_payment(system, product_id, 2, kim)

    awaiting = await wait_for_view(system, order, status="AWAITING_PAYMENT", transfer={"status": "AWAITING_TRANSFER"})
    await system.done(confirm(order))
    delivering = await wait_for_view(system, order, status="DELIVERING", delivery={"status": "DELIVERING"})
    await system.done(confirm_receipt(order, kim))
    closed = await wait_for_view(system, order, status="CLOSED", delivery={"status": "DELIVERED"})

    assert awaiting["product"] == {
        "product_id": str(product_id),
        "name": "Kettle",
        "price": 1500,
        "status": "ON_SALE",
    }
    assert (awaiting["next_action"], awaiting["deadline"]) == ("TRANSFER", awaiting["transfer"]["deadline"])
    assert (delivering["next_action"], delivering["deadline"]) == ("CONFIRM_RECEIPT", delivering["receipt_deadline"])
    assert (closed["next_action"], closed["deadline"]) == (None, None)
    assert sorted(whats(closed)) == sorted(WHOLE_WAY)
    assert whats(closed)[0] == "OrderPlaced"
    assert [line["at"] for line in closed["timeline"]] == sorted(line["at"] for line in closed["timeline"])


async def test_a_changed_product_name_is_shown_and_the_order_keeps_its_price(system: System) -> None:
    product_id = await known_product(system, price=1000)
    order = await awaiting_payment(system, product_id)

    await system.done(ChangeProduct(product_id=product_id, name="Samovar", price=9000))

    seen = await wait_for_view(system, order, product={"name": "Samovar", "price": 9000})
    assert seen["unit_price"] == 1000


async def test_a_cancelled_order_is_shown_with_its_reason_and_what_is_owed(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    late = await awaiting_payment(system, await known_product(system), 1, kim)
    await system.done(cancel(order, kim, "changed my mind"))
    await expired(system, late)
    await system.refused(confirm(late))

    cancelled = await wait_for_view(system, order, status="ORDER_CANCELLED", reason="changed my mind")
    owed = await wait_for_view(system, late, status="ORDER_CANCELLED", transfer={"refund_owed": True})

    assert (cancelled["next_action"], owed["next_action"]) == (None, "REFUND")
    listed = await system.done(ListOrderStatus(member_id=kim.member_id, status="ORDER_CANCELLED"))
    assert [item["order_id"] for item in listed["items"]] == [late["order_id"], order["order_id"]]


async def test_a_query_right_after_a_change_waits_for_the_version_that_it_names(system: System, kim: Caller) -> None:
    product_id = await known_product(system)
    for _ in range(5):
        order = await system.done(place_order(product_id, 1, kim))
        cancelled = await system.done(cancel(order, kim))
        query = ShowOrderStatus(order_id=order["order_id"], min_version=cancelled["version"], caller=kim)
        assert (await system.done(query))["status"] == "ORDER_CANCELLED"


async def test_other_peoples_orders_are_not_found(system: System, kim: Caller, lee: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system), 1, kim)
    await wait_for_view(system, order, status="AWAITING_PAYMENT")

    refusal = await system.refused(ShowOrderStatus(order_id=order["order_id"], caller=lee))

    assert refusal["code"] == "not_found"
    assert (await system.done(ListOrderStatus(member_id=lee.member_id)))["items"] == []


async def test_pages_neither_skip_nor_repeat(system: System, kim: Caller) -> None:
    product_id = await known_product(system)
    made = [(await system.done(place_order(product_id, 1, kim)))["order_id"] for _ in range(5)]
    await system.wait_until_idle()

    items = await system.items(ListOrderStatus(member_id=kim.member_id, limit=2))

    assert [item["order_id"] for item in items] == made[::-1]
    assert (await system.refused(ListOrderStatus(cursor="none")))["code"] == "invalid"


# -- rebuilt


async def test_a_rebuild_gives_the_same_rows(system: System, kim: Caller) -> None:
    order = await awaiting_payment(system, await known_product(system, stock=0), 1, kim)
    await system.refused(confirm(order))
    await system.done(revive(order))
    await fire_timers(system, order, REMIND)
    await wait_for_view(system, order, status="AWAITING_PAYMENT", round=2)
    await system.wait_until_idle()
    before = await rows_of(system, ORDER_STATUS)
    await system.rows(ORDER_STATUS, "update shop_order_status.orders set reason = 'spoilt', version = version - 1")

    applied = await rebuild_view(system, ORDER_STATUS)

    assert applied >= len(before["timeline"])
    assert await rows_of(system, ORDER_STATUS) == before


# -- in whatever order


@pytest.fixture
async def only_the_view(system: System) -> AsyncIterator[None]:
    """Nobody but the view handles what a test publishes: it is taken out of the queues of the others."""
    others = ("payments", PRODUCTS, ORDERS, DELIVERIES)
    await system.wait_until_idle()
    await system.stop(*others)
    yield
    channel = await system.connection.channel()
    for queue in [queue for name in others for queue in worker(name).queues()]:
        await (await channel.get_queue(queue)).purge()
    await channel.close()
    await system.start(*others)


class OrderEvents:
    """The recorded events of a closed order, to be published again under other ids."""

    def __init__(self, recorded: list[tuple[str, Json]], order: Json) -> None:
        mine = [(topic, body) for topic, body in recorded if body.get("order_id") == order["order_id"]]
        self._text = json.dumps([(topic, body) for topic, body in mine if not topic.startswith(PRODUCTS)])

    def events(self) -> tuple[Json, list[Event]]:
        """A new order's id, and its events; another one at each call."""
        text, renamed = self._text, dict[str, str]()
        for body in (body for _, body in json.loads(self._text)):
            for key in ("order_id", "transfer_id", "delivery_id"):
                if key in body:
                    renamed.setdefault(body[key], str(uuid4()))
        for old, new in renamed.items():
            text = text.replace(old, new)
        recorded = json.loads(text)
        events = [CATALOGUE[topic].model_validate(body) for topic, body in recorded]
        return {"order_id": recorded[0][1]["order_id"]}, [event for event in events if isinstance(event, Event)]


@pytest.fixture
async def order(system: System, kim: Caller) -> Json:
    """An order that has gone the whole way."""
    order = await awaiting_payment(system, await known_product(system), 2, kim)
    await system.done(confirm(order))
    await wait_for_view(system, order, status="DELIVERING")
    await system.done(confirm_receipt(order, kim))
    await wait_for_view(system, order, status="CLOSED", delivery={"status": "DELIVERED"})
    await system.wait_until_idle()
    return order


async def test_events_in_any_order_and_twice_give_the_same_order_status(
    system: System, order: Json, only_the_view: None
) -> None:
    original, recorded = await view_of(system, order), OrderEvents(system.events, order)
    orders = []

    for seed in range(8):
        other, events = recorded.events()
        shuffled = events * 2
        random.Random(seed).shuffle(shuffled)
        await system.publish(*shuffled)
        orders.append(other)
    await system.wait_until_idle()

    for other in orders:
        seen = await view_of(system, other)
        assert _without_ids(seen) == _without_ids(original)
    assert len(whats(original)) == len(WHOLE_WAY)


def _without_ids(entry: Json) -> Json:
    plain = {name: value for name, value in entry.items() if name not in ("order_id", "transfer_id", "as_of")}
    plain["transfer"] = {**entry["transfer"], "transfer_id": ""}
    plain["delivery"] = {**entry["delivery"], "delivery_id": ""}
    return plain


async def test_events_that_come_after_the_cancellation_do_not_undo_it(system: System, only_the_view: None) -> None:
    made = await unknown_order(system)

    await system.publish(made["OrderCancelled"])
    await wait_for_view(system, made, status="ORDER_CANCELLED")
    await system.publish(made["PaymentAwaited"], made["OrderPlaced"])
    await system.wait_until_idle()

    seen = await view_of(system, made)
    assert (seen["status"], seen["version"]) == ("ORDER_CANCELLED", 3)
    assert whats(seen) == ["OrderPlaced", "PaymentAwaited", "OrderCancelled"]


async def unknown_order(system: System) -> Json:
    """Three events of an order that no other context knows."""
    known = system.events_of("shop.orders.order_placed")[0]
    ids = {"order_id": str(uuid4()), "transfer_id": str(uuid4())}
    states = (
        ("OrderPlaced", "ORDER_PLACED"),
        ("PaymentAwaited", "AWAITING_PAYMENT"),
        ("OrderCancelled", "ORDER_CANCELLED"),
    )
    kinds = {kind.__name__: kind for kind in CATALOGUE.values() if kind.owner() == ORDERS}
    made: Json = dict(ids)
    for version, (name, status) in enumerate(states, start=1):
        more = {**ids, "status": status, "order_status": status, "version": version}
        at = f"2026-03-01T10:00:0{version}Z"
        made[name] = kinds[name].model_validate({**known, **more, "modified_at": at})
    return made


async def test_staff_see_the_orders_of_all_members(system: System) -> None:
    items = (await system.done(ListOrderStatus(limit=200)))["items"]

    assert len({item["member_id"] for item in items}) > 1
    assert (await system.done(ShowOrderStatus(order_id=UUID(items[0]["order_id"]), caller=STAFF)))["timeline"]
