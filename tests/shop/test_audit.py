"""The audit of the shop finds nothing in a system without discrepancies, and names each one that a test makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest

import ops.audit.runner
from ops.audit import audit, pending_work
from ops.stories import shop as story
from ops.stories.runner import Line, StoryRunner, issuer
from tests.conftest import MakeSettings
from tests.shop.conftest import system_with
from tests.shop.helpers import (
    ORDERS,
    awaiting_payment,
    cancel,
    confirm,
    confirm_receipt,
    expired,
    known_product,
    revive,
    wait_for_order,
)
from tests.support.gateway import GATEWAY, http_client
from tests.support.system import Json, System, contexts_of, customer
from workers.registry import CONTEXTS

ABSENT = set(CONTEXTS) - set(contexts_of("shop"))


@dataclass(frozen=True)
class Shop:
    """An idle system with an order of each kind."""

    system: System
    orders: dict[str, Json]

    async def audit(self) -> dict[str, list[str]]:
        return await audit(self.system.settings, without=ABSENT)


async def one_of_each(system: System) -> dict[str, Json]:
    kim = customer()
    product_id, nothing = await known_product(system, stock=10), await known_product(system, stock=0)
    kinds = ("awaiting", "delivering", "closed", "cancelled", "late", "revived")
    orders = {kind: await awaiting_payment(system, product_id, 2, kim) for kind in kinds}
    orders["out"] = await awaiting_payment(system, nothing, 1, kim)
    for order in orders.values():
        await wait_for_order(system, order, status="AWAITING_PAYMENT")
    await system.refused(confirm(orders["out"]))
    await system.done(cancel(orders["cancelled"], kim))
    for kind in ("late", "revived"):
        await expired(system, orders[kind])
    await system.refused(confirm(orders["late"]))
    await system.done(revive(orders["revived"]))
    for kind in ("delivering", "closed", "revived"):
        await system.done(confirm(orders[kind]))
        await wait_for_order(system, orders[kind], status="DELIVERING")
    await system.done(confirm_receipt(orders["closed"], kim))
    return orders


@pytest.fixture(scope="module")
async def shop(make_settings: MakeSettings) -> AsyncIterator[Shop]:
    async with system_with(make_settings, "journal", **GATEWAY) as system:
        orders = await one_of_each(system)
        assert await pending_work(system.settings, 20, without=ABSENT) == []
        yield Shop(system, orders)


@pytest.fixture(autouse=True)
def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing changes in an idle system, so the audit need not wait and read again."""
    monkeypatch.setattr(ops.audit.runner, "RECHECK_SECONDS", 0.0)


async def test_the_audit_of_an_undamaged_shop_finds_nothing(shop: Shop) -> None:
    assert await shop.audit() == {f"I{number}": [] for number in range(1, 10)}


CASES = {
    "the deadline's timer is gone": (
        "I1",
        "order {awaiting} waits for its money, and no timer would end it",
        "update shop_orders.inbox set state = 'dead' where id = (select id from shop_orders.inbox "
        "where topic = 'shop.orders.expire_order' and body like '%{awaiting}%')",
        "update shop_orders.inbox set state = 'waiting' where state = 'dead'",
    ),
    "nobody would close it": (
        "I1",
        "order {delivering} is DELIVERING, and no timer would close it",
        "update shop_orders.inbox set state = 'dead' "
        "where topic = 'shop.orders.close_order' and body like '%{delivering}%'",
        "update shop_orders.inbox set state = 'waiting' where state = 'dead'",
    ),
    "a confirmation that stands still": (
        "I1",
        "order {awaiting} is CONFIRMING, and no step goes on with it",
        "update shop_orders.orders set status = 'CONFIRMING' where order_id = '{awaiting}'",
        "update shop_orders.orders set status = 'AWAITING_PAYMENT' where order_id = '{awaiting}'",
    ),
    "stock that vanished": (
        "I3",
        "3 are in stock, of 10 supplied 6 are taken",
        "update shop_products.products set stock = stock - 1 where supplied = 10 and stock = 4",
        "update shop_products.products set stock = stock + 1 where supplied = 10 and stock = 3",
    ),
    "stock taken for nobody": (
        "I3",
        "order {cancelled} is not paid for in round 1: 0 are due to it, 0 are taken",
        "insert into shop_products.takes (order_id, round, product_id, quantity, state) "
        "select order_id, round, product_id, 0, 'TAKEN' from shop_orders.orders where order_id = '{cancelled}'",
        "delete from shop_products.takes where order_id = '{cancelled}'",
    ),
    "paid for, and nothing taken": (
        "I3",
        "order {closed} is CLOSED in round 1: 2 are due to it, 0 are taken",
        "update shop_products.takes set state = 'RETURNED' where order_id = '{closed}'",
        "update shop_products.takes set state = 'TAKEN' where order_id = '{closed}'",
    ),
    "a transfer that stands otherwise": (
        "I4",
        "order {delivering} is DELIVERING for 2000 won (not owed back), and its transfer AWAITING_TRANSFER",
        "update payments.transfers set status = 'AWAITING_TRANSFER' where order_id = '{delivering}'",
        "update payments.transfers set status = 'TRANSFER_CONFIRMED' where order_id = '{delivering}'",
    ),
    "money that is owed and forgotten": (
        "I4",
        "order {late} is ORDER_CANCELLED for 2000 won (owed back)",
        "update payments.transfers set refund_owed = false where order_id = '{late}'",
        "update payments.transfers set refund_owed = true where order_id = '{late}'",
    ),
    "money that was sent back, as nobody wrote down": (
        "I4",
        "was sent back 0 times by its entries, and last in round 1",
        "update payments.transfers set returned_at = now(), returned_round = 1 where order_id = '{closed}'",
        "update payments.transfers set returned_at = null, returned_round = 0 where order_id = '{closed}'",
    ),
    "another amount": (
        "I4",
        "its transfer TRANSFER_CONFIRMED of 1999 won",
        "update payments.transfers set amount = 1999 where order_id = '{closed}'",
        "update payments.transfers set amount = 2000 where order_id = '{closed}'",
    ),
    "payments never heard of it": (
        "I5",
        "order {awaiting}: payments does not have its transfer",
        "update payments.transfers set order_id = gen_random_uuid() where order_id = '{awaiting}'",
        "update payments.transfers t set order_id = o.order_id from shop_orders.orders o "
        "where o.transfer_id = t.transfer_id",
    ),
    "deliveries never heard of it": (
        "I5",
        "order {closed} is paid for, and deliveries does not have it",
        "update shop_deliveries.deliveries set order_id = gen_random_uuid() where order_id = '{closed}'",
        "update shop_deliveries.deliveries set order_id = '{closed}' where status = 'DELIVERED'",
    ),
    "a round that stays open": (
        "I5",
        "order {out} was out of stock, and products has not closed its round",
        "update shop_products.takes set state = 'OUT_OF_STOCK' where order_id = '{out}'",
        "update shop_products.takes set state = 'RETURNED' where order_id = '{out}'",
    ),
    "the screen is behind": (
        "I5",
        "order_status has version 1 of order {closed}, its writer version {version}",
        "update shop_order_status.orders set version = 1 where order_id = '{closed}'",
        "update shop_order_status.orders set version = {version} where order_id = '{closed}'",
    ),
    "delivered for nothing": (
        "I6",
        "order {cancelled} is ORDER_CANCELLED, and has a delivery",
        "update shop_deliveries.deliveries set order_id = '{cancelled}' where order_id = '{closed}'",
        "update shop_deliveries.deliveries set order_id = '{closed}' where order_id = '{cancelled}'",
    ),
    "an entry that is missing": (
        "I6",
        "has 1 entries for 2 versions",
        "update payments.entries e set subject_id = gen_random_uuid() from payments.transfers t "
        "where t.transfer_id = e.subject_id and e.version = 2 and t.order_id = '{closed}'",
        "update payments.entries e set subject_id = payment_id where what = 'TRANSFER_CONFIRMED'",
    ),
    "a screen that skipped a version": (
        "I7",
        "order_status shows version {version} of order {closed}, and its timeline has {before} versions",
        "update shop_order_status.timeline set generation = 99 where subject = '{closed}' and version = 3",
        "update shop_order_status.timeline set generation = 1 where generation = 99",
    ),
    "a screen that shows something else": (
        "I8",
        "order {closed}: order_status does not have the quantity of its writer",
        "update shop_order_status.orders set quantity = 5 where order_id = '{closed}'",
        "update shop_order_status.orders set quantity = 2 where order_id = '{closed}'",
    ),
    "a copy of orders that is wrong": (
        "I8",
        "orders does not have the price of its writer",
        "update shop_orders.products set price = 1 where stock = 0",
        "update shop_orders.products set price = 1000 where stock = 0",
    ),
    "an order that has its delivery otherwise": (
        "I8",
        "order {closed} has its delivery as PREPARING, and it is DELIVERED",
        "update shop_orders.orders set delivery_status = 'PREPARING' where order_id = '{closed}'",
        "update shop_orders.orders set delivery_status = 'DELIVERED' where order_id = '{closed}'",
    ),
    "an order that nobody placed": (
        "I9",
        "order {closed} has no request in the inbox",
        "update shop_orders.inbox set topic = 'x' where id = '{closed}'",
        "update shop_orders.inbox set topic = 'shop.orders.place_order' where id = '{closed}'",
    ),
    "an answer that was not true": (
        "I9",
        "and order {closed} is AWAITING_PAYMENT",
        "update shop_orders.orders set status = 'AWAITING_PAYMENT' where order_id = '{closed}'",
        "update shop_orders.orders set status = 'CLOSED' where order_id = '{closed}'",
    ),
}
"""Discrepancies by name: the invariant, part of its line, a statement that makes it and one that removes it."""


async def version_of(shop: Shop, order_id: str) -> int:
    """6 or 7: a delivery may be known to have started before it is known to be prepared."""
    row = await shop.system.one(ORDERS, "select version from shop_orders.orders where order_id = $1", UUID(order_id))
    return int(row["version"])


@pytest.mark.parametrize("case", CASES)
async def test_each_discrepancy_is_named(shop: Shop, case: str) -> None:
    ids = {kind: order["order_id"] for kind, order in shop.orders.items()}
    version = await version_of(shop, ids["closed"])
    texts = (text.format(**ids, version=version, before=version - 1) for text in CASES[case])
    invariant, part, damage, repair = texts
    await shop.system.rows(ORDERS, damage)

    found = await shop.audit()
    await shop.system.rows(ORDERS, repair)

    assert [line for line in found[invariant] if part in line], found


async def test_the_story_of_the_demo_leaves_no_discrepancies(shop: Shop) -> None:
    """Two stories are played over HTTP at once, after the repairs of the other tests."""
    lines: list[Line] = []
    settings = shop.system.settings
    async with http_client(shop.system) as http:
        stories = [StoryRunner(http, settings, issuer(settings), lines.append) for _ in range(2)]
        await asyncio.gather(*map(story.play, stories))

    assert await pending_work(settings, 20, without=ABSENT) == []
    assert await shop.audit() == {f"I{number}": [] for number in range(1, 10)}
    assert {line.http for line in lines} >= {"POST 201", "POST 200", "POST 409", "GET 200"}
