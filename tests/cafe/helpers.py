"""The café in tests: its commands and queries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contracts.base import Caller
from contracts.cafe.menu import ChangeMenuItem, MenuItemStatus, RegisterMenuItem
from contracts.cafe.orders import (
    AcceptOrder,
    CancelOrder,
    CollectOrder,
    ListOrders,
    MarkOrderReady,
    PlaceOrder,
    RejectOrder,
    ShowOrder,
)
from contracts.cafe.report import ShowReport
from ops.audit import audit
from tests.support.system import STAFF, Json, System, customer

MENU, ORDERS, REPORT = CONTEXTS = ("cafe.menu", "cafe.orders", "cafe.report")
AVAILABLE, SOLD_OUT = MenuItemStatus.AVAILABLE, MenuItemStatus.SOLD_OUT


# -- commands


def register_item(price: int = 4500, name: str = "Americano", status: MenuItemStatus = AVAILABLE) -> RegisterMenuItem:
    return RegisterMenuItem(name=name, price=price, status=status, caller=STAFF)


def change_item(item: Json, **changes: Any) -> ChangeMenuItem:
    return ChangeMenuItem(menu_item_id=item["menu_item_id"], caller=STAFF, **changes)


def place_order(item: Json, member: Caller | None = None, quantity: int = 1, expected: int | None = None) -> PlaceOrder:
    return PlaceOrder(
        menu_item_id=item["menu_item_id"], quantity=quantity, expected_price=expected, caller=member or customer()
    )


def accept(order: Json, caller: Caller = STAFF) -> AcceptOrder:
    return AcceptOrder(order_id=order["order_id"], caller=caller)


def reject(order: Json, caller: Caller = STAFF, reason: str = "no milk") -> RejectOrder:
    return RejectOrder(order_id=order["order_id"], reason=reason, caller=caller)


def mark_ready(order: Json, caller: Caller = STAFF) -> MarkOrderReady:
    return MarkOrderReady(order_id=order["order_id"], caller=caller)


def collect(order: Json, caller: Caller = STAFF) -> CollectOrder:
    return CollectOrder(order_id=order["order_id"], caller=caller)


def cancel(order: Json, caller: Caller) -> CancelOrder:
    return CancelOrder(order_id=order["order_id"], caller=caller)


# -- states


async def known_item(system: System, **fields: Any) -> Json:
    """Register an item, and wait until orders knows it."""
    item = await system.done(register_item(**fields))
    await wait_for_known_item(system, item)
    return item


async def wait_for_known_item(system: System, item: Json) -> None:
    """Wait until orders has this version of an item."""
    query = "select 1 from cafe_orders.menu_items where menu_item_id = $1 and version >= $2"
    await system.wait_for_rows(ORDERS, query, UUID(item["menu_item_id"]), item["version"])


# -- queries


async def order_of(system: System, order: Json) -> Json:
    return await system.done(ShowOrder(order_id=order["order_id"], caller=STAFF))


async def orders_of(system: System, member: Caller) -> list[Json]:
    return await system.items(ListOrders(member_id=member.member_id, limit=200))


async def view_of(system: System, item: Json, min_version: int = 0) -> Json:
    """One item of the report, with its timeline."""
    return await system.done(ShowReport(menu_item_id=item["menu_item_id"], min_version=min_version))


async def wait_for_view(system: System, item: Json, **expected: Any) -> Json:
    """One item of the report, once it has these fields."""
    return await system.wait_for(ShowReport(menu_item_id=item["menu_item_id"]), **expected)


async def item_events(system: System, item: Json) -> list[str]:
    """The names of an item's events, in the order of its versions."""
    return await system.event_names(MENU, menu_item_id=item["menu_item_id"])


async def order_events(system: System, order: Json) -> list[str]:
    """The names of an order's events, in the order of its versions."""
    return await system.event_names(ORDERS, order_id=order["order_id"])


# -- at the end


async def discrepancies(system: System) -> dict[str, list[str]]:
    """What the audit finds, by its invariant."""
    return {name: lines for name, lines in (await audit(system.settings)).items() if lines}
