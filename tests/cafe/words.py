"""Words for the stories of the café: what one does, and what one looks at."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import aio_pika

from contracts.base import Caller, Event, Message
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
from tests.support.messages import as_message
from tests.support.system import STAFF, System, customer, eventually
from workers.runtime.messaging import envelope

Thing = dict[str, Any]

MENU, ORDERS, REPORT = ALL = ("cafe.menu", "cafe.orders", "cafe.report")
AVAILABLE, SOLD_OUT = MenuItemStatus.AVAILABLE, MenuItemStatus.SOLD_OUT

# -- doing


def new_item(price: int = 4500, name: str = "Americano", status: MenuItemStatus = AVAILABLE) -> RegisterMenuItem:
    return RegisterMenuItem(name=name, price=price, status=status, caller=STAFF)


def change(item: Thing, **changes: Any) -> ChangeMenuItem:
    return ChangeMenuItem(menu_item_id=item["menu_item_id"], caller=STAFF, **changes)


def order_of(item: Thing, member: Caller | None = None, quantity: int = 1, expected: int | None = None) -> PlaceOrder:
    return PlaceOrder(
        menu_item_id=item["menu_item_id"], quantity=quantity, expected_price=expected, caller=member or customer()
    )


def accept(order: Thing, caller: Caller = STAFF) -> AcceptOrder:
    return AcceptOrder(order_id=order["order_id"], caller=caller)


def reject(order: Thing, caller: Caller = STAFF, reason: str = "no milk") -> RejectOrder:
    return RejectOrder(order_id=order["order_id"], reason=reason, caller=caller)


def ready(order: Thing, caller: Caller = STAFF) -> MarkOrderReady:
    return MarkOrderReady(order_id=order["order_id"], caller=caller)


def collect(order: Thing, caller: Caller = STAFF) -> CollectOrder:
    return CollectOrder(order_id=order["order_id"], caller=caller)


def cancel(order: Thing, caller: Caller) -> CancelOrder:
    return CancelOrder(order_id=order["order_id"], caller=caller)


async def item_known_to_orders(system: System, **about: Any) -> Thing:
    """An item that orders has copied."""
    item = await system.done(new_item(**about))
    await copied(system, item)
    return item


async def attempt(system: System, message: Message, *, id: UUID | None = None) -> tuple[str, Thing]:
    """Ask until there is an outcome: its code (`done` or a refusal's) and its body."""
    reply = await system.until_done(message, id=id or uuid4())
    body: Thing = json.loads(reply.body or b"{}")
    return (str(body["code"]) if reply.kind == "refused" else reply.kind), body


async def tell(system: System, *events: Event, id: UUID | None = None) -> None:
    """Publish events by hand, in this order, as if their context had."""
    connection = await aio_pika.connect(system.settings.amqp_url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("yeyak.events", ensure=False)
        for event in events:
            message_id = id or uuid4()
            body = event.model_dump_json().encode()
            message = envelope.told(message_id, body, event.topic, event.owner(), message_id, None, "test")
            await exchange.publish(as_message(message), routing_key=event.topic)


# -- looking


async def copied(system: System, item: Thing) -> None:
    """Wait until orders has this version of an item."""
    query = "select 1 from cafe_orders.menu_items where menu_item_id = $1 and version >= $2"
    await eventually(partial(system.rows, ORDERS, query, UUID(item["menu_item_id"]), item["version"]))


async def stands(system: System, order: Thing) -> Thing:
    """An order as its writer sees it."""
    return await system.done(ShowOrder(order_id=order["order_id"], caller=STAFF))


async def orders_of(system: System, member: Caller) -> list[Thing]:
    page = await system.done(ListOrders(member_id=member.member_id, limit=200))
    items: list[Thing] = page["items"]
    return items


async def reported(system: System, item: Thing, min_version: int = 0) -> Thing:
    """One item of the report, with its timeline."""
    return await system.done(ShowReport(menu_item_id=item["menu_item_id"], min_version=min_version))


async def shown(system: System, item: Thing, **expected: Any) -> Thing:
    """One item of the report, once it has these fields."""
    found: Thing = {}

    async def agreed() -> bool:
        found.update(await reported(system, item))
        return all(found[name] == value for name, value in expected.items())

    try:
        await eventually(agreed)
    except AssertionError:
        raise AssertionError(f"the report has {found}, not {expected}") from None
    return found


def told_of(system: System, thing: Thing, key: str) -> list[str]:
    """The names of the events of one thing, in the order of its versions."""
    news = {body["version"]: topic for topic, body in system.news if _subject(topic, body) == (key, thing[key])}
    return [news[version].rpartition(".")[2] for version in sorted(news)]


def _subject(topic: str, body: Thing) -> tuple[str, str]:
    key = "order_id" if topic.startswith(ORDERS) else "menu_item_id"
    return key, body.get(key, "")
