"""The statement that takes stock: all of it or nothing, once for each order and round; without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from contracts.shop.products import RegisterProduct, RestockProduct, ReturnStock, TakeStock
from contracts.shop.states import OrderStatus
from storage.database import Database
from storage.shop import products as store
from tests.support import servers as support
from tests.support.servers import Servers
from tests.support.system import STAFF

AT_ONCE = 40


@dataclass
class Shelf:
    """The statements of products, each in a transaction of its own."""

    database: Database

    async def product(self, stock: int) -> UUID:
        command = RegisterProduct(name="Teapot", price=1000, stock=stock, caller=STAFF)
        async with self.database.transaction() as session:
            return (await store.register(session, uuid4(), command)).product_id

    async def take(
        self, product_id: UUID, order_id: UUID, quantity: int = 1, round: int = 1
    ) -> tuple[str | None, bool]:
        """The state of the take, and whether this call changed the stock."""
        command = TakeStock(product_id=product_id, order_id=order_id, round=round, quantity=quantity)
        async with self.database.transaction() as session:
            state, changed = await store.take(session, command)
        return state, changed is not None

    async def return_stock(self, product_id: UUID, order_id: UUID, round: int = 1) -> int:
        command = ReturnStock(
            product_id=product_id, order_id=order_id, order_status=OrderStatus.PAYMENT_CANCELLED, round=round
        )
        async with self.database.transaction() as session:
            return (await store.return_stock(session, command))[0]

    async def restock(self, product_id: UUID, quantity: int) -> None:
        async with self.database.transaction() as session:
            await store.restock(session, RestockProduct(product_id=product_id, quantity=quantity))

    async def stock(self, product_id: UUID) -> int:
        async with self.database.session() as session:
            found = await store.find(session, product_id)
        assert found is not None
        return found.stock


@pytest.fixture(scope="module")
async def shelf(servers: Servers, templates: None) -> AsyncIterator[Shelf]:
    database = Database(await support.create_database(servers, f"shelf_{uuid4().hex[:12]}", support.TEMPLATE), size=20)
    await database.start()
    yield Shelf(database)
    await database.close()


@pytest.mark.parametrize(("stock", "quantity", "taken"), [(0, 1, 0), (1, 1, 1), (7, 2, 3), (100, 1, AT_ONCE)])
async def test_of_forty_orders_at_once_as_many_take_as_there_is_stock_for(
    shelf: Shelf, stock: int, quantity: int, taken: int
) -> None:
    product_id = await shelf.product(stock)

    outcomes = await asyncio.gather(*(shelf.take(product_id, uuid4(), quantity) for _ in range(AT_ONCE)))

    assert outcomes.count(("TAKEN", True)) == taken
    assert outcomes.count(("OUT_OF_STOCK", False)) == AT_ONCE - taken
    assert await shelf.stock(product_id) == stock - taken * quantity


async def test_one_order_that_takes_forty_times_at_once_takes_once(shelf: Shelf) -> None:
    product_id, order_id = await shelf.product(10), uuid4()

    outcomes = await asyncio.gather(*(shelf.take(product_id, order_id, 3) for _ in range(AT_ONCE)))

    assert sorted(outcomes) == [("TAKEN", False)] * (AT_ONCE - 1) + [("TAKEN", True)]
    assert await shelf.stock(product_id) == 7


async def test_a_round_that_was_out_of_stock_is_closed_and_the_next_round_takes(shelf: Shelf) -> None:
    product_id, order_id = await shelf.product(1), uuid4()
    first = await shelf.take(product_id, order_id, 2)
    await shelf.restock(product_id, 5)

    assert first == ("OUT_OF_STOCK", False)
    assert await shelf.take(product_id, order_id, 2) == ("OUT_OF_STOCK", False)
    assert await shelf.take(product_id, order_id, 2, round=2) == ("TAKEN", True)
    assert await shelf.stock(product_id) == 4


async def test_what_was_taken_is_returned_once_and_cannot_be_taken_again_in_that_round(shelf: Shelf) -> None:
    product_id, order_id = await shelf.product(5), uuid4()
    await shelf.take(product_id, order_id, 3)

    returned = await asyncio.gather(*(shelf.return_stock(product_id, order_id) for _ in range(10)))

    assert sorted(returned) == [0] * 9 + [3]
    assert await shelf.take(product_id, order_id, 3) == ("RETURNED", False)
    assert await shelf.stock(product_id) == 5


async def test_a_return_that_comes_before_the_take_leaves_a_tombstone(shelf: Shelf) -> None:
    product_id, order_id = await shelf.product(5), uuid4()

    returned = await shelf.return_stock(product_id, order_id)

    assert returned == 0
    assert await shelf.take(product_id, order_id, 3) == ("RETURNED", False)
    assert await shelf.take(product_id, order_id, 3, round=2) == ("TAKEN", True)
    assert await shelf.stock(product_id) == 2


async def test_of_a_take_and_a_return_at_once_nothing_is_left_over(shelf: Shelf) -> None:
    product_id = await shelf.product(100)
    order_ids = [uuid4() for _ in range(20)]

    await asyncio.gather(
        *(command(product_id, order_id) for order_id in order_ids for command in (shelf.take, shelf.return_stock))
    )

    assert await shelf.stock(product_id) == 100
    assert {await shelf.take(product_id, order_id) for order_id in order_ids} == {("RETURNED", False)}


async def test_nothing_is_taken_of_an_unknown_product(shelf: Shelf) -> None:
    assert await shelf.take(uuid4(), uuid4()) == (None, False)
