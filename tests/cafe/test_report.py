"""The report never goes back, counts the orders of today in Seoul, answers alone, and can be built anew."""

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
from tests.cafe.words import (
    AVAILABLE,
    MENU,
    ORDERS,
    REPORT,
    SOLD_OUT,
    Thing,
    cancel,
    change,
    new_item,
    order_of,
    reject,
    reported,
    shown,
    tell,
)
from tests.conftest import MakeSettings
from tests.support.system import System, customer, eventually
from tests.support.view_databases import rows_of
from workers.cafe.report import midnight, worker
from workers.runtime.projections.rebuild import RebuildFailed, rebuild

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
async def listener(make_settings: MakeSettings) -> AsyncIterator[System]:
    """A report that is told by hand, of things that no writer knows."""
    system = await System(await make_settings(), "cafe").open()
    await system.start(REPORT)
    yield system
    await system.close()


def item_told(item_id: Any, version: int, **about: Any) -> Event:
    known: Thing = {
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


def order_told(
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


async def seen(system: System, item_id: Any, lines: int) -> Thing:
    """The item's entry, once everything that was told has been applied."""
    item = {"menu_item_id": str(item_id)}

    async def told() -> bool:
        row = await system.one(REPORT, "select count(*) as count from cafe_report.timeline where subject = $1", item_id)
        return bool(row["count"] >= lines)

    await eventually(told)
    await system.wait_until_idle()
    return await reported(system, item)


@pytest.mark.parametrize("seed", range(4))
async def test_in_whatever_order_and_however_often_events_come_the_report_is_the_same(
    listener: System, seed: int
) -> None:
    item_id, order_id = uuid4(), uuid4()
    orders = [
        order_told(item_id, kind, status, version, order_id=order_id)
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
    events = [*(item_told(item_id, version) for version in (1, 2, 3)), *orders] * 2
    random.Random(seed).shuffle(events)

    await tell(listener, *events)

    entry = await seen(listener, item_id, lines=3)
    assert (entry["version"], entry["name"], entry["price"], entry["changed_by"]) == (3, "Latte 3", 4003, "lee")
    assert entry["orders_today"] == 1
    assert [line["what"] for line in entry["timeline"]] == ["MenuItemRegistered"] + ["MenuItemChanged"] * 2
    assert entry["changed_at"] == entry["modified_at"] == entry["timeline"][-1]["at"]


@pytest.mark.parametrize(("older", "newer"), [(AVAILABLE, SOLD_OUT), (SOLD_OUT, AVAILABLE)])
async def test_a_late_older_status_changes_nothing(listener: System, older: str, newer: str) -> None:
    item_id = uuid4()

    await tell(
        listener,
        item_told(item_id, 3, status=newer),
        item_told(item_id, 2, status=older),
        item_told(item_id, 1, status=older),
    )

    entry = await seen(listener, item_id, lines=3)
    assert (entry["status"], entry["version"]) == (newer, 3)
    assert [line["status"] for line in entry["timeline"]] == [older, older, newer]


async def test_orders_are_counted_from_midnight_in_seoul_whatever_became_of_them(listener: System) -> None:
    item_id, began = uuid4(), midnight(datetime.now(UTC))
    moment = timedelta(microseconds=1)
    today = [
        order_told(item_id, OrderPlaced, OrderStatus.ORDERED, 1, began),
        order_told(item_id, OrderCancelled, OrderStatus.CANCELLED, 2, began),
        order_told(item_id, OrderRejected, OrderStatus.REJECTED, 2, began + moment),
    ]
    yesterday = [
        order_told(item_id, OrderPlaced, OrderStatus.ORDERED, 1, began - moment),
        order_told(item_id, OrderCollected, OrderStatus.COLLECTED, 4, began - timedelta(hours=20)),
    ]
    elsewhere = order_told(uuid4(), OrderPlaced, OrderStatus.ORDERED, 1, began)

    await tell(listener, *today, *yesterday, elsewhere, item_told(item_id, 1))

    assert (await seen(listener, item_id, lines=1))["orders_today"] == 3


# -- with its writers


async def test_the_report_shows_the_whole_menu_also_what_customers_do_not_see(system: System) -> None:
    items = [
        await system.done(new_item(price=price, status=status))
        for price, status in ((4500, AVAILABLE), (0, AVAILABLE), (4500, SOLD_OUT))
    ]
    changed = await system.done(change(items[0], price=5000))
    await shown(system, items[2], version=1)
    await shown(system, changed, version=2)

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


async def test_a_look_right_after_a_change_waits_for_the_version_that_it_names(system: System) -> None:
    item = await system.done(new_item())
    for price in (1000, 2000, 3000):
        changed = await system.done(change(item, price=price))

        assert (await reported(system, item, min_version=changed["version"]))["price"] == price

    started = time.monotonic()
    assert (await reported(system, item, min_version=99))["version"] == 4
    assert 0.9 < time.monotonic() - started < 2.5


async def test_the_report_answers_while_all_its_writers_are_down(system: System) -> None:
    item = await system.done(new_item(name="Cortado"))
    await system.done(order_of(item))
    await shown(system, item, orders_today=1)
    await system.stop(MENU, ORDERS)

    entry = await reported(system, item, min_version=1)
    page = await system.done(ListReport(limit=1))

    assert (entry["name"], entry["orders_today"], len(entry["timeline"])) == ("Cortado", 1, 1)
    assert page["items"][0]["menu_item_id"] == item["menu_item_id"]
    await system.start(MENU, ORDERS)


async def test_a_report_that_is_built_anew_has_the_same_rows_and_answers_meanwhile(system: System) -> None:
    kim = customer()
    items = [await system.done(new_item()) for _ in range(4)]
    await asyncio.gather(*(system.done(change(item, price=price)) for item in items for price in (1000, 2000)))
    orders = [await system.done(order_of(item, kim)) for item in items * 3]
    await system.done(cancel(orders[0], kim))
    await system.done(reject(orders[1]))
    await system.wait_until_idle()
    before, store = await rows_of(system, REPORT), system.contexts[REPORT].store
    looking = asyncio.create_task(_looks(system, items[0]))

    for _ in range(2):
        await rebuild(worker, store, system.bus, system.rpc)

    looking.cancel()
    assert await rows_of(system, REPORT) == before
    assert all(len(rows) >= 8 for rows in before.values())
    assert (await system.one(REPORT, "select current, building from cafe_report.generations"))["building"] is None
    await asyncio.gather(looking, return_exceptions=True)
    assert looking.cancelled()  # every look was answered


async def test_a_rebuild_that_another_overtakes_leaves_no_rows_behind(system: System) -> None:
    await system.done(new_item())
    await system.wait_until_idle()
    store = system.contexts[REPORT].store

    ends = await asyncio.gather(
        *(rebuild(worker, store, system.bus, system.rpc) for _ in range(2)), return_exceptions=True
    )

    assert sorted(isinstance(end, RebuildFailed) for end in ends) == [False, True]
    left = "select distinct generation - (select current from cafe_report.generations) as behind from cafe_report."
    for table in ("menu_items", "orders", "timeline"):
        assert {row["behind"] for row in await system.rows(REPORT, left + table)} <= {0}


async def _looks(system: System, item: Thing) -> None:
    while True:
        assert (await reported(system, item))["orders_today"] == 3


async def test_what_happens_while_the_report_is_built_anew_is_in_it(system: System) -> None:
    item, store = await system.done(new_item()), system.contexts[REPORT].store
    building = asyncio.create_task(rebuild(worker, store, system.bus, system.rpc))

    orders = [await system.done(order_of(item)) for _ in range(10)]
    await building

    assert (await shown(system, item, orders_today=len(orders)))["status"] == "AVAILABLE"
