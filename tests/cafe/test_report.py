"""The report has the newest state, counts the orders of today in Seoul, needs no writer, and can be rebuilt."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.base import Event
from contracts.cafe.menu import MenuItemChanged, MenuItemRegistered
from contracts.cafe.orders import (
    Order,
    OrderAccepted,
    OrderCancelled,
    OrderCollected,
    OrderEvent,
    OrderMarkedReady,
    OrderPlaced,
    OrderRejected,
    OrderStatus,
)
from contracts.cafe.report import ListReport
from tests.cafe.helpers import (
    AVAILABLE,
    MENU,
    ORDERS,
    REPORT,
    SOLD_OUT,
    cancel,
    change_item,
    place_order,
    register_item,
    reject,
    view_of,
    wait_for_view,
)
from tests.conftest import MakeSettings
from tests.support.system import Json, System, customer
from tests.support.view_databases import rebuild_view, rows_of
from workers.cafe.report import midnight
from workers.runtime.projections.rebuild import RebuildFailed

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
async def listener(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A report without its writers: tests publish the events."""
    system = await System(await make_settings(), "cafe").open()
    await system.start(REPORT)
    yield system
    await system.close()


def item_event(item_id: Any, version: int, **about: Any) -> Event:
    known: Json = {
        "menu_item_id": item_id,
        "name": f"Latte {version}",
        "price": 4000 + version,
        "status": AVAILABLE,
        "registered_by": "kim",
        "changed_by": "kim" if version == 1 else "lee",
        "created_at": NOW,
        "modified_at": NOW + timedelta(seconds=version),
        "version": version,
    }
    return (MenuItemRegistered if version == 1 else MenuItemChanged)(**(known | about))


def order_event(
    item_id: Any, kind: type[OrderEvent], status: OrderStatus, version: int, at: datetime = NOW, order_id: Any = None
) -> OrderEvent:
    order = Order(
        order_id=order_id or uuid4(),
        menu_item_id=item_id,
        member_id="kim",
        name="Latte",
        quantity=1,
        expected_price=None,
        price=4500,
        total=4500,
        pickup_number=1,
        status=status,
        reason=None,
        created_at=at,
        modified_at=at + timedelta(seconds=version),
        version=version,
    )
    return kind.of(order)


async def applied(system: System, item_id: Any, lines: int) -> Json:
    """The item in the report, once its timeline has so many lines and no event is pending."""
    item = {"menu_item_id": str(item_id)}

    query = """select n from (select count(*) as n from cafe_report.timeline where subject = $1) as counted
        where n >= $2"""
    await system.wait_for_rows(REPORT, query, item_id, lines)
    await system.wait_until_idle()
    return await view_of(system, item)


@pytest.mark.parametrize("seed", range(4))
async def test_events_in_any_order_and_twice_give_the_same_report(listener: System, seed: int) -> None:
    item_id, order_id = uuid4(), uuid4()
    orders = [
        order_event(item_id, kind, status, version, order_id=order_id)
        for version, (kind, status) in enumerate(
            [
                (OrderPlaced, OrderStatus.ORDERED),
                (OrderAccepted, OrderStatus.ACCEPTED),
                (OrderMarkedReady, OrderStatus.READY),
                (OrderCollected, OrderStatus.COLLECTED),
            ],
            start=1,
        )
    ]
    events = [*(item_event(item_id, version) for version in (1, 2, 3)), *orders] * 2
    random.Random(seed).shuffle(events)

    await listener.publish(*events)

    entry = await applied(listener, item_id, lines=3)
    assert (entry["version"], entry["name"], entry["price"], entry["changed_by"]) == (3, "Latte 3", 4003, "lee")
    assert entry["orders_today"] == 1
    assert [line["what"] for line in entry["timeline"]] == ["MenuItemRegistered"] + ["MenuItemChanged"] * 2
    assert entry["changed_at"] == entry["modified_at"] == entry["timeline"][-1]["at"]


@pytest.mark.parametrize(("older", "newer"), [(AVAILABLE, SOLD_OUT), (SOLD_OUT, AVAILABLE)])
async def test_a_late_older_status_changes_nothing(listener: System, older: str, newer: str) -> None:
    item_id = uuid4()

    await listener.publish(
        item_event(item_id, 3, status=newer),
        item_event(item_id, 2, status=older),
        item_event(item_id, 1, status=older),
    )

    entry = await applied(listener, item_id, lines=3)
    assert (entry["status"], entry["version"]) == (newer, 3)
    assert [line["status"] for line in entry["timeline"]] == [older, older, newer]


async def test_orders_are_counted_from_midnight_in_seoul_whatever_their_status(listener: System) -> None:
    item_id, began = uuid4(), midnight(datetime.now(UTC))
    moment = timedelta(microseconds=1)
    today = [
        order_event(item_id, OrderPlaced, OrderStatus.ORDERED, 1, began),
        order_event(item_id, OrderCancelled, OrderStatus.CANCELLED, 2, began),
        order_event(item_id, OrderRejected, OrderStatus.REJECTED, 2, began + moment),
    ]
    yesterday = [
        order_event(item_id, OrderPlaced, OrderStatus.ORDERED, 1, began - moment),
        order_event(item_id, OrderCollected, OrderStatus.COLLECTED, 4, began - timedelta(hours=20)),
    ]
    other_item = order_event(uuid4(), OrderPlaced, OrderStatus.ORDERED, 1, began)

    await listener.publish(*today, *yesterday, other_item, item_event(item_id, 1))

    assert (await applied(listener, item_id, lines=1))["orders_today"] == 3


# -- with its writers


async def test_the_report_shows_the_whole_menu_with_what_customers_do_not_see(system: System) -> None:
    items = [
        await system.done(register_item(price=price, status=status))
        for price, status in ((4500, AVAILABLE), (0, AVAILABLE), (4500, SOLD_OUT))
    ]
    changed = await system.done(change_item(items[0], price=5000))
    await wait_for_view(system, items[2], version=1)
    await wait_for_view(system, changed, version=2)

    page = await system.done(ListReport(limit=3))
    gone = await system.done(ListReport(status=SOLD_OUT, limit=1))
    rest = await system.done(ListReport(limit=2, cursor=(await system.done(ListReport(limit=1)))["next_cursor"]))

    assert [item["menu_item_id"] for item in page["items"]] == [item["menu_item_id"] for item in items[::-1]]
    assert {name: page["items"][2][name] for name in changed} == changed
    assert page["items"][2]["changed_at"] == changed["modified_at"]
    assert [item["menu_item_id"] for item in gone["items"]] == [items[2]["menu_item_id"]]
    assert rest["items"] == page["items"][1:]
    assert page["as_of"]
    assert (await system.refused(ListReport(cursor="nonsense")))["code"] == "invalid"


async def test_a_query_right_after_a_change_waits_for_the_version_that_it_names(system: System) -> None:
    item = await system.done(register_item())
    for price in (1000, 2000, 3000):
        changed = await system.done(change_item(item, price=price))

        assert (await view_of(system, item, min_version=changed["version"]))["price"] == price

    started = time.monotonic()
    assert (await view_of(system, item, min_version=99))["version"] == 4
    assert 0.9 < time.monotonic() - started < 2.5


async def test_the_report_answers_while_all_its_writers_are_stopped(system: System) -> None:
    item = await system.done(register_item(name="Cortado"))
    await system.done(place_order(item))
    await wait_for_view(system, item, orders_today=1)
    await system.stop(MENU, ORDERS)

    entry = await view_of(system, item, min_version=1)
    page = await system.done(ListReport(limit=1))

    assert (entry["name"], entry["orders_today"], len(entry["timeline"])) == ("Cortado", 1, 1)
    assert page["items"][0]["menu_item_id"] == item["menu_item_id"]
    await system.start(MENU, ORDERS)


async def test_a_rebuild_gives_the_same_rows_and_the_report_answers_meanwhile(system: System) -> None:
    kim = customer()
    items = [await system.done(register_item()) for _ in range(4)]
    await asyncio.gather(*(system.done(change_item(item, price=price)) for item in items for price in (1000, 2000)))
    orders = [await system.done(place_order(item, kim)) for item in items * 3]
    await system.done(cancel(orders[0], kim))
    await system.done(reject(orders[1]))
    await system.wait_until_idle()
    before = await rows_of(system, REPORT)
    reading = asyncio.create_task(_read_again_and_again(system, items[0]))

    for _ in range(2):
        await rebuild_view(system, REPORT)

    reading.cancel()
    assert await rows_of(system, REPORT) == before
    assert all(len(rows) >= 8 for rows in before.values())
    assert (await system.one(REPORT, "select current, building from cafe_report.generations"))["building"] is None
    await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled()  # every query was answered


async def test_a_rebuild_that_another_overtakes_leaves_no_rows(system: System) -> None:
    await system.done(register_item())
    await system.wait_until_idle()

    ends = await asyncio.gather(*(rebuild_view(system, REPORT) for _ in range(2)), return_exceptions=True)

    assert sorted(isinstance(end, RebuildFailed) for end in ends) == [False, True]
    left = "select distinct generation - (select current from cafe_report.generations) as behind from cafe_report."
    for table in ("menu_items", "orders", "timeline"):
        assert {row["behind"] for row in await system.rows(REPORT, left + table)} <= {0}


async def _read_again_and_again(system: System, item: Json) -> None:
    while True:
        assert (await view_of(system, item))["orders_today"] == 3


async def test_events_during_a_rebuild_are_in_the_report(system: System) -> None:
    item = await system.done(register_item())
    rebuilding = asyncio.create_task(rebuild_view(system, REPORT))

    orders = [await system.done(place_order(item)) for _ in range(10)]
    await rebuilding

    assert (await wait_for_view(system, item, orders_today=len(orders)))["status"] == "AVAILABLE"
