"""The one screen: next action, deadline and timeline; the same whatever the order of events, and after a rebuild."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from contracts.base import CATALOGUE, Caller, Event
from contracts.shop.order_status import ListOrderStatus, ShowOrderStatus
from contracts.shop.products import ChangeProduct
from storage.views import ViewDatabase
from tests.conftest import MakeSettings
from tests.flows.renting import tell
from tests.shop.conftest import town_with
from tests.shop.selling import (
    DELIVERIES,
    ORDERS,
    PRODUCTS,
    SCREEN,
    Thing,
    cancel,
    confirm,
    expired,
    fire,
    ordered,
    ordering,
    product,
    receive,
    revive,
    screen_of,
    shown,
)
from tests.support.elsewhere import rows_of
from tests.support.town import STAFF, Town
from workers.runtime.projections.rebuild import rebuild
from workers.shop.order_status import worker as order_status

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
async def town(make_settings: MakeSettings) -> AsyncIterator[Town]:
    """With the journal, from which a view is rebuilt."""
    async with town_with(make_settings, "journal") as running:
        yield running


def told(entry: Thing) -> list[str]:
    return [line["what"] for line in entry["timeline"]]


async def test_it_shows_everything_about_an_order_and_what_comes_next(town: Town, kim: Caller) -> None:
    product_id = await product(town, price=1500, name="Kettle")
    order = await ordered(town, product_id, 2, kim)

    awaiting = await shown(town, order, status="AWAITING_PAYMENT", transfer={"status": "AWAITING_TRANSFER"})
    await town.done(confirm(order))
    delivering = await shown(town, order, status="DELIVERING", delivery={"status": "DELIVERING"})
    await town.done(receive(order, kim))
    closed = await shown(town, order, status="CLOSED", delivery={"status": "DELIVERED"})

    assert awaiting["product"] == {
        "product_id": str(product_id),
        "name": "Kettle",
        "price": 1500,
        "status": "ON_SALE",
    }
    assert (awaiting["next_action"], awaiting["deadline"]) == ("TRANSFER", awaiting["transfer"]["deadline"])
    assert (delivering["next_action"], delivering["deadline"]) == ("CONFIRM_RECEIPT", delivering["receipt_deadline"])
    assert (closed["next_action"], closed["deadline"]) == (None, None)
    assert sorted(told(closed)) == sorted(WHOLE_WAY)
    assert told(closed)[0] == "OrderPlaced"
    assert [line["at"] for line in closed["timeline"]] == sorted(line["at"] for line in closed["timeline"])


async def test_a_name_that_changes_is_shown_and_the_price_of_the_order_stays(town: Town) -> None:
    product_id = await product(town, price=1000)
    order = await ordered(town, product_id)

    await town.done(ChangeProduct(product_id=product_id, name="Samovar", price=9000))

    seen = await shown(town, order, product={"name": "Samovar", "price": 9000})
    assert seen["unit_price"] == 1000


async def test_a_cancelled_order_stays_visible_with_its_reason_and_what_is_owed(town: Town, kim: Caller) -> None:
    order = await ordered(town, await product(town), 1, kim)
    late = await ordered(town, await product(town), 1, kim)
    await town.done(cancel(order, kim, "changed my mind"))
    await expired(town, late)
    await town.refused(confirm(late))

    cancelled = await shown(town, order, status="ORDER_CANCELLED", reason="changed my mind")
    owed = await shown(town, late, status="ORDER_CANCELLED", transfer={"refund_owed": True})

    assert (cancelled["next_action"], owed["next_action"]) == (None, "REFUND")
    listed = await town.done(ListOrderStatus(member_id=kim.member_id, status="ORDER_CANCELLED"))
    assert [item["order_id"] for item in listed["items"]] == [late["order_id"], order["order_id"]]


async def test_a_look_right_after_a_change_waits_for_the_version_that_it_names(town: Town, kim: Caller) -> None:
    product_id = await product(town)
    for _ in range(5):
        order = await town.done(ordering(product_id, 1, kim))
        cancelled = await town.done(cancel(order, kim))
        look = ShowOrderStatus(order_id=order["order_id"], min_version=cancelled["version"], caller=kim)
        assert (await town.done(look))["status"] == "ORDER_CANCELLED"


async def test_other_peoples_orders_are_not_found(town: Town, kim: Caller, lee: Caller) -> None:
    order = await ordered(town, await product(town), 1, kim)
    await shown(town, order, status="AWAITING_PAYMENT")

    refusal = await town.refused(ShowOrderStatus(order_id=order["order_id"], caller=lee))

    assert refusal["code"] == "not_found"
    assert (await town.done(ListOrderStatus(member_id=lee.member_id)))["items"] == []


async def test_pages_neither_skip_nor_repeat(town: Town, kim: Caller) -> None:
    product_id = await product(town)
    made = [(await town.done(ordering(product_id, 1, kim)))["order_id"] for _ in range(5)]
    await town.wait_until_idle()
    seen, cursor = [], None

    while True:
        page = await town.done(ListOrderStatus(member_id=kim.member_id, limit=2, cursor=cursor))
        seen += [item["order_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == made[::-1]
    assert (await town.refused(ListOrderStatus(cursor="none")))["code"] == "invalid"


# -- rebuilt


async def test_a_rebuild_gives_the_same_rows(town: Town, kim: Caller) -> None:
    order = await ordered(town, await product(town, stock=0), 1, kim)
    await town.refused(confirm(order))
    await town.done(revive(order))
    await fire(town, order, "shop.orders.remind_buyer")
    await shown(town, order, status="AWAITING_PAYMENT", round=2)
    await town.wait_until_idle()
    before = await rows_of(town, SCREEN)
    await town.rows(SCREEN, "update shop_order_status.orders set reason = 'spoilt', version = version - 1")
    store = ViewDatabase(order_status.tables, town.settings.database_of(SCREEN))
    store.open()

    applied = await rebuild(order_status, store, town._bus, town._asker)
    await store.close()

    assert applied >= len(before["timeline"])
    assert await rows_of(town, SCREEN) == before


# -- in whatever order


class Tale:
    """The events of an order that went the whole way, told again of an order that nobody has."""

    def __init__(self, news: list[tuple[str, Thing]], order: Thing) -> None:
        mine = [(topic, body) for topic, body in news if body.get("order_id") == order["order_id"]]
        self._text = json.dumps([(topic, body) for topic, body in mine if not topic.startswith(PRODUCTS)])

    def events(self) -> tuple[Thing, list[Event]]:
        """Of another order at each call."""
        text, renamed = self._text, dict[str, str]()
        for body in (body for _, body in json.loads(self._text)):
            for key in ("order_id", "transfer_id", "delivery_id"):
                if key in body:
                    renamed.setdefault(body[key], str(uuid4()))
        for old, new in renamed.items():
            text = text.replace(old, new)
        told = json.loads(text)
        events = [CATALOGUE[topic].model_validate(body) for topic, body in told]
        return {"order_id": told[0][1]["order_id"]}, [event for event in events if isinstance(event, Event)]


async def test_in_whatever_order_and_however_often_events_come_the_screen_is_the_same(town: Town, kim: Caller) -> None:
    order = await ordered(town, await product(town), 2, kim)
    await town.done(confirm(order))
    await shown(town, order, status="DELIVERING")
    await town.done(receive(order, kim))
    await shown(town, order, status="CLOSED", delivery={"status": "DELIVERED"})
    await town.wait_until_idle()
    original, tale = await screen_of(town, order), Tale(town.news, order)
    await town.stop("payments", PRODUCTS, ORDERS, DELIVERIES)
    orders = []

    for seed in range(8):
        other, events = tale.events()
        shuffled = events * 2
        random.Random(seed).shuffle(shuffled)
        await tell(town, *shuffled)
        orders.append(other)
    await town.wait_until_idle()

    for other in orders:
        seen = await screen_of(town, other)
        assert _without_ids(seen) == _without_ids(original)
    assert len(told(original)) == len(WHOLE_WAY)


def _without_ids(entry: Thing) -> Thing:
    plain = {name: value for name, value in entry.items() if name not in ("order_id", "transfer_id", "as_of")}
    plain["transfer"] = {**entry["transfer"], "transfer_id": ""}
    plain["delivery"] = {**entry["delivery"], "delivery_id": ""}
    return plain


async def test_a_cancellation_that_comes_first_is_not_undone_by_what_comes_after(town: Town) -> None:
    made = await _made_up(town)

    await tell(town, made["OrderCancelled"])
    await shown(town, made, status="ORDER_CANCELLED")
    await tell(town, made["PaymentAwaited"], made["OrderPlaced"])
    await town.wait_until_idle()

    seen = await screen_of(town, made)
    assert (seen["status"], seen["version"]) == ("ORDER_CANCELLED", 3)
    assert told(seen) == ["OrderPlaced", "PaymentAwaited", "OrderCancelled"]


async def _made_up(town: Town) -> Thing:
    """Three events of an order that nobody has, told while its contexts are away."""
    (known, *_) = [body for topic, body in town.news if topic == "shop.orders.order_placed"]
    ids = {"order_id": str(uuid4()), "transfer_id": str(uuid4())}
    states = (
        ("OrderPlaced", "ORDER_PLACED"),
        ("PaymentAwaited", "AWAITING_PAYMENT"),
        ("OrderCancelled", "ORDER_CANCELLED"),
    )
    kinds = {kind.__name__: kind for kind in CATALOGUE.values() if kind.owner() == ORDERS}
    made: Thing = dict(ids)
    for version, (name, status) in enumerate(states, start=1):
        more = {**ids, "status": status, "order_status": status, "version": version}
        at = f"2026-03-01T10:00:0{version}Z"
        made[name] = kinds[name].model_validate({**known, **more, "modified_at": at})
    return made


async def test_staff_see_everybodys_orders(town: Town) -> None:
    items = (await town.done(ListOrderStatus(limit=200)))["items"]

    assert len({item["member_id"] for item in items}) > 1
    assert (await town.done(ShowOrderStatus(order_id=UUID(items[0]["order_id"]), caller=STAFF)))["timeline"]
