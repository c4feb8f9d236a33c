"""The menu: clerks register and change it; customers see what can be ordered."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from contracts.base import Caller
from contracts.cafe.menu import ListMenu, ShowMenuItem
from tests.cafe.words import AVAILABLE, SOLD_OUT, Thing, change, new_item, told_of
from tests.support.system import STAFF, System


def look(item: Thing, caller: Caller) -> ShowMenuItem:
    return ShowMenuItem(menu_item_id=item["menu_item_id"], caller=caller)


async def listed(system: System, *, on_offer: bool) -> set[str]:
    page = await system.done(ListMenu(on_offer=on_offer, limit=200))
    return {item["menu_item_id"] for item in page["items"]}


async def test_an_item_takes_the_id_of_its_request_and_is_told_of(system: System) -> None:
    request_id = uuid4()

    item = await system.done(new_item(price=4500, name="Flat White"), id=request_id)
    await system.wait_until_idle()

    expected = {"name": "Flat White", "price": 4500, "status": "AVAILABLE", "version": 1}
    expected |= {"menu_item_id": str(request_id), "registered_by": "staff", "changed_by": "staff"}
    assert {name: item[name] for name in expected} == expected
    assert told_of(system, item, "menu_item_id") == ["menu_item_registered"]


async def test_an_item_that_is_registered_twice_with_one_key_is_one_item(system: System) -> None:
    wish, request_id = new_item(), uuid4()

    items = await asyncio.gather(*(system.done(wish, id=request_id) for _ in range(5)))

    assert all(item == items[0] for item in items)


async def test_what_is_not_given_stays(system: System) -> None:
    item = await system.done(new_item(price=4500, name="Mocha"))
    clerk = Caller(member_id="lee", role="staff")

    dearer = await system.done(change(item, price=5000))
    renamed = await system.done(change(item, name="Caffè Mocha").model_copy(update={"caller": clerk}))
    gone = await system.done(change(item, status=SOLD_OUT))

    assert (dearer["name"], dearer["price"], dearer["version"]) == ("Mocha", 5000, 2)
    assert (renamed["name"], renamed["price"], renamed["changed_by"]) == ("Caffè Mocha", 5000, "lee")
    assert (gone["status"], gone["name"], gone["registered_by"], gone["version"]) == (
        "SOLD_OUT",
        "Caffè Mocha",
        "staff",
        4,
    )
    await system.wait_until_idle()
    assert told_of(system, item, "menu_item_id") == ["menu_item_registered"] + ["menu_item_changed"] * 3


async def test_a_change_of_a_version_that_is_gone_changes_nothing(system: System) -> None:
    item = await system.done(new_item(price=4500))
    changed = await system.done(change(item, price=5000, expected_version=1))

    refusal = await system.refused(change(item, price=6000, expected_version=1))
    ahead = await system.refused(change(item, price=6000, expected_version=3))

    assert refusal == ahead == {"code": "stale_version", "version": 2}
    assert await system.done(look(item, STAFF)) == changed


async def test_of_ten_clerks_who_saw_the_same_version_one_changes_it(system: System) -> None:
    item = await system.done(new_item())

    replies = await asyncio.gather(
        *(system.request(change(item, price=price, expected_version=1)) for price in range(1000, 1010))
    )

    assert sorted(reply.kind for reply in replies) == ["done"] + ["refused"] * 9
    assert (await system.done(look(item, STAFF)))["version"] == 2


async def test_ten_changes_that_expect_nothing_are_all_made(system: System) -> None:
    item = await system.done(new_item())

    await asyncio.gather(*(system.done(change(item, price=price)) for price in range(1000, 1010)))

    assert (await system.done(look(item, STAFF)))["version"] == 11


async def test_an_item_that_does_not_exist_can_neither_be_changed_nor_seen(system: System) -> None:
    nothing = {"menu_item_id": uuid4()}

    assert await system.refused(change(nothing, price=1, expected_version=1)) == {"code": "not_found"}
    assert await system.refused(look(nothing, STAFF)) == {"code": "not_found"}


@pytest.mark.parametrize(
    ("price", "status", "seen"), [(4500, AVAILABLE, True), (0, AVAILABLE, False), (4500, SOLD_OUT, False)]
)
async def test_customers_see_what_can_be_ordered_and_staff_see_all(
    system: System, kim: Caller, price: int, status: str, seen: bool
) -> None:
    item = await system.done(new_item(price=price).model_copy(update={"status": status}))

    reply = await system.request(look(item, kim))

    assert reply.kind == ("done" if seen else "refused")
    assert (item["menu_item_id"] in await listed(system, on_offer=True)) is seen
    assert item["menu_item_id"] in await listed(system, on_offer=False)
    assert await system.done(look(item, STAFF)) == item


async def test_pages_neither_skip_nor_repeat_and_can_be_narrowed(system: System) -> None:
    ids = [(await system.done(new_item(status=SOLD_OUT)))["menu_item_id"] for _ in range(5)]
    await system.done(new_item())
    seen: list[str] = []
    cursor = None

    while len(seen) < 5:
        page = await system.done(ListMenu(status=SOLD_OUT, limit=2, cursor=cursor))
        seen += [item["menu_item_id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen[:5] == ids[::-1]
    assert (await system.refused(ListMenu(cursor="nonsense")))["code"] == "invalid"
