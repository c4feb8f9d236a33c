"""Words for the stories of the shop: what one does, and what one looks at."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from contracts.base import Caller, Message
from contracts.shop.order_status import ShowOrderStatus
from contracts.shop.orders import CancelOrder, ConfirmPayment, ConfirmReceipt, PlaceOrder, ReviveOrder, ShowOrder
from contracts.shop.products import RegisterProduct, ShowProduct
from contracts.transfers import ListTransfers
from tests.support.system import STAFF, System, customer, eventually
from tests.support.view_databases import is_moved

Thing = dict[str, Any]

PRODUCTS, ORDERS, DELIVERIES, SCREEN = "shop.products", "shop.orders", "shop.deliveries", "shop.order_status"
SHOP = (PRODUCTS, ORDERS, DELIVERIES, SCREEN)


# -- doing


async def product(system: System, *, stock: int = 10, price: int = 1000, name: str = "Teapot") -> UUID:
    """A product that orders has heard of."""
    made = await system.done(RegisterProduct(name=name, price=price, stock=stock, caller=STAFF))
    product_id = UUID(made["product_id"])
    if ORDERS in system.contexts:
        await copied(system, product_id, 1)
    return product_id


async def copied(system: System, product_id: UUID, version: int) -> None:
    """Wait until orders has this version of a product."""

    async def known() -> bool:
        query = "select 1 from shop_orders.products where product_id = $1 and version >= $2"
        return bool(await system.rows(ORDERS, query, product_id, version))

    await eventually(known)


def ordering(product_id: UUID, quantity: int = 1, member: Caller | None = None) -> PlaceOrder:
    return PlaceOrder(product_id=product_id, quantity=quantity, caller=member or customer())


async def ordered(system: System, product_id: UUID, quantity: int = 1, member: Caller | None = None) -> Thing:
    """An order that awaits its payment."""
    order = await system.done(ordering(product_id, quantity, member))
    return await until(system, order, status="AWAITING_PAYMENT")


def confirm(order: Thing, amount: int | None = None, seller: Caller = STAFF) -> ConfirmPayment:
    return ConfirmPayment(order_id=order["order_id"], amount=amount, depositor="Kim", caller=seller)


def cancel(order: Thing, caller: Caller = STAFF, reason: str | None = None) -> CancelOrder:
    return CancelOrder(order_id=order["order_id"], reason=reason, caller=caller)


def revive(order: Thing) -> ReviveOrder:
    return ReviveOrder(order_id=order["order_id"], caller=STAFF)


def receive(order: Thing, member: Caller) -> ConfirmReceipt:
    return ConfirmReceipt(order_id=order["order_id"], caller=member)


async def fire(system: System, order: Thing, topic: str) -> None:
    """Let the time of an order's timers of one kind be over."""
    rows = await system.rows(
        ORDERS,
        """update shop_orders.inbox set due_at = now()
        where topic = $1 and state = 'waiting' and body::json ->> 'order_id' = $2 returning id""",
        topic,
        order["order_id"],
    )
    assert rows


async def expired(system: System, order: Thing) -> Thing:
    """The order, once its deadline has cancelled it."""
    await fire(system, order, "shop.orders.expire_order")
    return await until(system, order, status="ORDER_CANCELLED", cancelled_by="DEADLINE")


async def settled(system: System, message: Message, within: float = 20.0, id: UUID | None = None) -> tuple[str, Thing]:
    """Ask again and again until there is an outcome: its code (`done` or a refusal's) and its body.

    Under one `id` if it is given, as a patient client would; else each time as a new request.
    """
    found: list[tuple[str, Thing]] = []

    async def outcome() -> bool:
        reply = await system.request(message, id=id, within=1.5, budget=1.2)
        body: Thing = json.loads(reply.body or b"{}")
        code = str(body["code"]) if reply.kind == "refused" else reply.kind
        found[:] = [(code, body)]
        return code not in ("still_confirming", "unavailable", "unknown", "still_running")

    await eventually(outcome, within)
    return found[0]


# -- looking


async def order_of(system: System, order: Thing | UUID) -> Thing:
    """An order as its writer sees it."""
    order_id = order["order_id"] if isinstance(order, dict) else order
    return await system.done(ShowOrder(order_id=order_id, caller=STAFF))


async def screen_of(system: System, order: Thing) -> Thing:
    return await system.done(ShowOrderStatus(order_id=order["order_id"], caller=STAFF))


def agrees(thing: Any, expected: Thing) -> bool:
    """Whether a thing has these fields; nested ones, too."""
    return thing is not None and all(
        agrees(thing.get(name), value) if isinstance(value, dict) else thing.get(name) == value
        for name, value in expected.items()
    )


async def until(system: System, order: Thing, within: float = 15.0, **expected: Any) -> Thing:
    """The order as its writer sees it, once it has these fields."""
    return await _once(system, ShowOrder(order_id=order["order_id"], caller=STAFF), within, expected)


async def shown(system: System, order: Thing, within: float = 15.0, **expected: Any) -> Thing:
    """The order on the one screen, once it has these fields."""
    return await _once(system, ShowOrderStatus(order_id=order["order_id"], caller=STAFF), within, expected)


async def _once(system: System, query: Message, within: float, expected: Thing) -> Thing:
    found: Thing = {}

    async def agreed() -> bool:
        reply = await system.request(query)
        found.clear()
        found.update(json.loads(reply.body or b"{}"))
        return reply.kind == "done" and agrees(found, expected)

    try:
        await eventually(agreed, within)
    except AssertionError:
        raise AssertionError(f"there is {found}, not {expected}") from None
    return found


async def stock_of(system: System, product_id: UUID) -> int:
    found: int = (await system.done(ShowProduct(product_id=product_id)))["stock"]
    return found


async def transfer_of(system: System, order: Thing) -> Thing | None:
    """Payments' record of an order's transfer."""
    page = await system.done(ListTransfers(limit=200))
    return next((one for one in page["items"] if one["order_id"] == order["order_id"]), None)


async def told_of(system: System, order: Thing, context: str = ORDERS) -> list[str]:
    """The names of a context's events about one order, in the order of their versions, once all are told."""
    await system.all_told(context)
    news = {
        body["version"]: topic
        for topic, body in system.events
        if body.get("order_id") == order["order_id"] and topic.rpartition(".")[0] == context
    }
    return [news[version].rpartition(".")[2] for version in sorted(news)]


async def discrepancies(system: System) -> list[str]:
    """Whatever does not fit in a quiet system: stock, transfers, deliveries, and the screen against orders."""
    await system.wait_until_idle(within=40)
    checks = [check for check in CHECKS if not is_moved(system, check[2])]
    return [f"{what}: {dict(row)}" for what, context, query in checks for row in await system.rows(context, query)]


CHECKS = (
    (
        "stock does not add up",
        PRODUCTS,
        """select product_id, stock, supplied, taken from shop_products.products join lateral (
             select coalesce(sum(quantity), 0) as taken from shop_products.takes t
             where t.product_id = products.product_id and state = 'TAKEN') t on true
           where stock <> supplied - taken or stock < 0""",
    ),
    (
        "stock is not where the order is",
        PRODUCTS,
        """select o.order_id, o.status, t.state from shop_orders.orders o full join shop_products.takes t
             on t.order_id = o.order_id and t.round = o.round and t.state = 'TAKEN'
           where (o.status in ('PAYMENT_CONFIRMED', 'PREPARING', 'DELIVERING', 'CLOSED')) is distinct from
             (t.state is not null) and coalesce(t.state, 'TAKEN') = 'TAKEN'""",
    ),
    (
        "the transfer does not follow",
        "payments",
        """select o.order_id, o.status, o.version, t.status as transfer, t.order_version, o.refund_owed, t.refund_owed
           from shop_orders.orders o left join payments.transfers t using (order_id)
           where t.refund_owed is distinct from o.refund_owed or o.transfer_status is distinct from t.status
             or t.status is distinct from case
               when o.status in ('ORDER_CANCELLED', 'PAYMENT_CANCELLED') then 'TRANSFER_CANCELLED'
               when o.status in ('ORDER_PLACED', 'AWAITING_PAYMENT', 'CONFIRMING') then 'AWAITING_TRANSFER'
               else 'TRANSFER_CONFIRMED' end""",
    ),
    (
        "the delivery does not follow",
        DELIVERIES,
        """select o.order_id, o.status, d.status as delivery from shop_orders.orders o
           full join shop_deliveries.deliveries d using (order_id)
           where d.status is distinct from case o.status
             when 'DELIVERING' then 'DELIVERING' when 'CLOSED' then 'DELIVERED' end""",
    ),
    (
        "something is left under way",
        ORDERS,
        "select order_id, status from shop_orders.orders where status in ('ORDER_PLACED', 'CONFIRMING')",
    ),
    (
        "the screen shows something else",
        SCREEN,
        """select o.order_id, o.status, v.status as shown from shop_orders.orders o
           left join shop_order_status.orders v on v.order_id = o.order_id
             and generation = (select current from shop_order_status.generations)
           where (o.version, o.status) is distinct from (v.version, v.status)""",
    ),
)
"""What is wrong with a row, where to look, and the rows with which something is wrong."""
