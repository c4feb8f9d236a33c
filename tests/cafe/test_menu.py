"""The menu: staff register and change items; customers see what can be ordered."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from contracts.base import Caller
from contracts.cafe.menu import ListMenu, ShowMenuItem
from tests.cafe.helpers import AVAILABLE, SOLD_OUT, change_item, item_events, register_item
from tests.support.system import STAFF, Json, System


def show(item: Json, caller: Caller) -> ShowMenuItem:
    return ShowMenuItem(menu_item_id=item["menu_item_id"], caller=caller)


async def listed(system: System, *, on_offer: bool) -> set[str]:
    page = await system.done(ListMenu(on_offer=on_offer, limit=200))
    return {item["menu_item_id"] for item in page["items"]}


async def test_an_item_has_the_id_of_its_request_and_an_event(system: System) -> None:
    request_id = uuid4()

    item = await system.done(register_item(price=4500, name="Flat White"), id=request_id)

    expected = {"name": "Flat White", "price": 4500, "status": "AVAILABLE", "version": 1}
    expected |= {"menu_item_id": str(request_id), "registered_by": "staff", "changed_by": "staff"}
    assert {name: item[name] for name in expected} == expected
    assert await item_events(system, item) == ["menu_item_registered"]


async def test_an_item_that_is_registered_twice_with_one_key_is_one_item(system: System) -> None:
    command, request_id = register_item(), uuid4()

    items = await asyncio.gather(*(system.done(command, id=request_id) for _ in range(5)))

    assert all(item == items[0] for item in items)


async def test_a_change_keeps_the_fields_that_it_does_not_name(system: System) -> None:
    item = await system.done(register_item(price=4500, name="Mocha"))
    clerk = Caller(member_id="lee", role="staff")

    dearer = await system.done(change_item(item, price=5000))
    renamed = await system.done(change_item(item, name="Caffè Mocha").model_copy(update={"caller": clerk}))
    gone = await system.done(change_item(item, status=SOLD_OUT))

    assert (dearer["name"], dearer["price"], dearer["version"]) == ("Mocha", 5000, 2)
    assert (renamed["name"], renamed["price"], renamed["changed_by"]) == ("Caffè Mocha", 5000, "lee")
    assert (gone["status"], gone["name"], gone["registered_by"], gone["version"]) == (
        "SOLD_OUT",
        "Caffè Mocha",
        "staff",
        4,
    )
    assert await item_events(system, item) == ["menu_item_registered"] + ["menu_item_changed"] * 3


async def test_a_change_of_a_stale_version_changes_nothing(system: System) -> None:
    item = await system.done(register_item(price=4500))
    changed = await system.done(change_item(item, price=5000, expected_version=1))

    refusal = await system.refused(change_item(item, price=6000, expected_version=1))
    ahead = await system.refused(change_item(item, price=6000, expected_version=3))

    assert refusal == ahead == {"code": "stale_version", "version": 2}
    assert await system.done(show(item, STAFF)) == changed


async def test_of_ten_changes_of_the_same_version_one_is_made(system: System) -> None:
    item = await system.done(register_item())

    replies = await asyncio.gather(
        *(system.request(change_item(item, price=price, expected_version=1)) for price in range(1000, 1010))
    )

    assert sorted(reply.kind for reply in replies) == ["done"] + ["refused"] * 9
    assert (await system.done(show(item, STAFF)))["version"] == 2


async def test_ten_changes_that_expect_nothing_are_all_made(system: System) -> None:
    item = await system.done(register_item())

    await asyncio.gather(*(system.done(change_item(item, price=price)) for price in range(1000, 1010)))

    assert (await system.done(show(item, STAFF)))["version"] == 11


async def test_an_item_that_does_not_exist_can_neither_be_changed_nor_seen(system: System) -> None:
    unknown = {"menu_item_id": uuid4()}

    assert await system.refused(change_item(unknown, price=1, expected_version=1)) == {"code": "not_found"}
    assert await system.refused(show(unknown, STAFF)) == {"code": "not_found"}


@pytest.mark.parametrize(
    ("price", "status", "seen"), [(4500, AVAILABLE, True), (0, AVAILABLE, False), (4500, SOLD_OUT, False)]
)
async def test_customers_see_what_can_be_ordered_and_staff_see_all(
    system: System, kim: Caller, price: int, status: str, seen: bool
) -> None:
    item = await system.done(register_item(price=price).model_copy(update={"status": status}))

    reply = await system.request(show(item, kim))

    assert reply.kind == ("done" if seen else "refused")
    assert (item["menu_item_id"] in await listed(system, on_offer=True)) is seen
    assert item["menu_item_id"] in await listed(system, on_offer=False)
    assert await system.done(show(item, STAFF)) == item


async def test_pages_neither_skip_nor_repeat_and_can_be_filtered(system: System) -> None:
    ids = [(await system.done(register_item(status=SOLD_OUT)))["menu_item_id"] for _ in range(5)]
    await system.done(register_item())

    items = await system.items(ListMenu(status=SOLD_OUT, limit=2))

    assert [item["menu_item_id"] for item in items[:5]] == ids[::-1]
    assert len({item["menu_item_id"] for item in items}) == len(items)
    assert (await system.refused(ListMenu(cursor="nonsense")))["code"] == "invalid"
