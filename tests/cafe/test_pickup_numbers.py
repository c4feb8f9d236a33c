"""Pickup numbers: they begin with 1 each day in Seoul, without gaps and without repeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest

from contracts.cafe.menu import MenuItem
from contracts.cafe.orders import Order, PlaceOrder
from storage.cafe import orders as store
from storage.database import Database
from tests.cafe.helpers import AVAILABLE, ORDERS, SOLD_OUT, known_item, place_order, register_item
from tests.conftest import MakeSettings
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import System, customer

AT_ONCE = 30
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATTE = MenuItem(
    menu_item_id=UUID(int=1),
    name="Latte",
    price=4500,
    status=AVAILABLE,
    registered_by="staff",
    changed_by="staff",
    created_at=NOW,
    modified_at=NOW,
    version=1,
)


class InjectedError(Exception):
    """Rolls a transaction back after it took a number."""


@pytest.fixture
async def database(servers: Servers, templates: None) -> AsyncIterator[Database]:
    """Orders' tables on a database of their own, without a broker."""
    database = Database(await support.create_database(servers, f"orders_{uuid4().hex[:12]}", support.TEMPLATE), size=12)
    await database.start()
    yield database
    await database.close()


async def place(database: Database, *, fails: bool = False, id: UUID | None = None) -> Order:
    async with database.transaction() as session:
        command = PlaceOrder(menu_item_id=LATTE.menu_item_id, caller=customer())
        order = await store.place(session, id or uuid4(), command, LATTE)
        if fails:
            raise InjectedError
    return order


async def test_orders_at_once_have_numbers_without_gaps_or_doubles_also_when_some_fail(database: Database) -> None:
    outcomes = await asyncio.gather(
        *(place(database, fails=number % 3 == 0) for number in range(AT_ONCE * 3)), return_exceptions=True
    )

    placed = [outcome for outcome in outcomes if isinstance(outcome, Order)]
    assert sorted(order.pickup_number for order in placed) == list(range(1, AT_ONCE * 2 + 1))
    assert all(isinstance(outcome, Order | InjectedError) for outcome in outcomes)


async def test_an_order_that_is_written_twice_at_once_takes_one_number(database: Database) -> None:
    id = uuid4()

    outcomes = await asyncio.gather(*(place(database, id=id) for _ in range(10)), return_exceptions=True)

    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 1
    assert (await place(database)).pickup_number == 2


async def test_a_new_day_in_seoul_begins_with_1(database: Database) -> None:
    yesterday = [(await place(database)).pickup_number for _ in range(3)]
    async with database.session() as session:
        await session.connection.execute("update cafe_orders.pickup_numbers set day = day - 1")
        await session.connection.execute("update cafe_orders.orders set created_at = created_at - interval '1 day'")

    today = [(await place(database)).pickup_number for _ in range(2)]

    assert (yesterday, today) == ([1, 2, 3], [1, 2])


async def test_the_day_of_the_counter_is_the_day_of_the_order(database: Database) -> None:
    await place(database)
    async with database.session() as session:
        days = await session.connection.fetchrow(
            """select day, pickup_day, created_at from cafe_orders.pickup_numbers, cafe_orders.orders"""
        )
        expected = await session.connection.fetchval("select ($1::timestamptz + interval '9 hours')::date", days[2])

    assert days[0] == days[1] == expected


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        pytest.param("2026-03-01T14:59:59.999999+00:00", date(2026, 3, 1), id="the last moment of a day in Seoul"),
        pytest.param("2026-03-01T15:00:00+00:00", date(2026, 3, 2), id="midnight in Seoul"),
        pytest.param("2026-03-01T00:00:00+00:00", date(2026, 3, 1), id="midnight in UTC"),
        pytest.param("2026-12-31T15:00:00+00:00", date(2027, 1, 1), id="New Year in Seoul"),
        pytest.param("2026-12-31T23:59:59+00:00", date(2027, 1, 1), id="the last second of the year in UTC"),
        pytest.param("2028-02-28T15:00:00+00:00", date(2028, 2, 29), id="a leap day"),
    ],
)
async def test_a_day_is_a_day_in_seoul(database: Database, instant: str, day: date) -> None:
    async with database.session() as session:
        found = await session.connection.fetchval(
            "select cafe_orders.seoul_day($1::timestamptz)", datetime.fromisoformat(instant)
        )

    assert found == day


# -- over the broker


async def numbers(system: System) -> list[int]:
    """The numbers of all orders, in their order; all are of today."""
    rows = await system.rows(ORDERS, "select pickup_number from cafe_orders.orders order by pickup_day, pickup_number")
    return [row["pickup_number"] for row in rows]


async def test_orders_at_once_of_which_some_are_refused_leave_no_gap(system: System) -> None:
    latte, gone, unpriced = [
        await known_item(system, price=price, status=status)
        for price, status in ((4500, AVAILABLE), (4500, SOLD_OUT), (0, AVAILABLE))
    ]
    commands = [place_order(latte), place_order(gone), place_order(unpriced), place_order(latte, expected=1)] * 15

    outcomes = await system.outcomes(commands)

    assert sorted({code for code, _ in outcomes}) == ["done", "not_for_sale", "price_changed", "sold_out"]
    given = [body["pickup_number"] for code, body in outcomes if code == "done"]
    assert sorted(given) == list(range(min(given), min(given) + 15))
    found = await numbers(system)
    assert found == list(range(1, len(found) + 1))


async def test_replicas_killed_while_many_order_leave_no_gap_and_every_answer_agrees(
    make_settings: MakeSettings,
) -> None:
    system = await System(await make_settings(cafe_price_ms=3000), "cafe").open()
    await system.start("cafe.menu", ORDERS)
    await system.start(ORDERS, replica=" 2")
    item = await system.done(register_item())
    commands = {uuid4(): place_order(item) for _ in range(40)}
    crowd = [asyncio.create_task(system.outcome(command, id=id)) for id, command in commands.items() for _ in range(2)]
    await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)

    for name in (ORDERS, f"{ORDERS} 2"):
        await system.kill(name)
        await system.start(ORDERS, replica=name.removeprefix(ORDERS))

    answers = await asyncio.gather(*crowd)
    await system.wait_until_idle()
    assert {code for code, _ in answers} == {"done"}
    given = {body["order_id"]: body["pickup_number"] for _, body in answers}
    assert set(given) == set(map(str, commands))
    assert sorted(given.values()) == await numbers(system) == list(range(1, 41))
    await system.close()
