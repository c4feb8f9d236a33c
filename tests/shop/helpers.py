"""The shop in tests: its commands, orders in each state, and what must hold in the end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from contracts.base import Caller, Message
from contracts.shop.order_status import ShowOrderStatus
from contracts.shop.orders import CancelOrder, ConfirmPayment, ConfirmReceipt, PlaceOrder, ReviveOrder, ShowOrder
from contracts.shop.products import RegisterProduct, ShowProduct
from contracts.transfers import ListTransfers
from tests.support.system import STAFF, Json, System, customer, eventually
from tests.support.view_databases import is_moved

PRODUCTS, ORDERS, DELIVERIES, ORDER_STATUS = (
    f"shop.{name}" for name in ("products", "orders", "deliveries", "order_status")
)
CONTEXTS = ("payments", PRODUCTS, ORDERS, DELIVERIES, ORDER_STATUS)
EXPIRE, REMIND, CLOSE = "shop.orders.expire_order", "shop.orders.remind_buyer", "shop.orders.close_order"


# -- commands


def place_order(product_id: UUID, quantity: int = 1, member: Caller | None = None) -> PlaceOrder:
    return PlaceOrder(product_id=product_id, quantity=quantity, caller=member or customer())


def confirm(order: Json, amount: int | None = None, seller: Caller = STAFF) -> ConfirmPayment:
    return ConfirmPayment(order_id=order["order_id"], amount=amount, depositor="Kim", caller=seller)


def cancel(order: Json, caller: Caller = STAFF, reason: str | None = None) -> CancelOrder:
    return CancelOrder(order_id=order["order_id"], reason=reason, caller=caller)


def revive(order: Json) -> ReviveOrder:
    return ReviveOrder(order_id=order["order_id"], caller=STAFF)


def confirm_receipt(order: Json, member: Caller) -> ConfirmReceipt:
    return ConfirmReceipt(order_id=order["order_id"], caller=member)


# -- states


async def known_product(system: System, *, stock: int = 10, price: int = 1000, name: str = "Teapot") -> UUID:
    """Register a product, and wait until orders knows it."""
    made = await system.done(RegisterProduct(name=name, price=price, stock=stock, caller=STAFF))
    product_id = UUID(made["product_id"])
    if ORDERS in system.contexts:
        await wait_for_known_product(system, product_id, 1)
    return product_id


async def wait_for_known_product(system: System, product_id: UUID, version: int) -> None:
    """Wait until orders has this version of a product."""
    query = "select 1 from shop_orders.products where product_id = $1 and version >= $2"
    await system.wait_for_rows(ORDERS, query, product_id, version)


async def awaiting_payment(system: System, product_id: UUID, quantity: int = 1, member: Caller | None = None) -> Json:
    """Place an order, and wait until it awaits its payment."""
    order = await system.done(place_order(product_id, quantity, member))
    return await wait_for_order(system, order, status="AWAITING_PAYMENT")


async def fire_timers(system: System, order: Json, topic: str) -> None:
    """Make an order's timers with this topic due now; fails when there is none."""
    rows = await system.rows(
        ORDERS,
        """update shop_orders.inbox set due_at = now()
        where topic = $1 and state = 'waiting' and body::json ->> 'order_id' = $2 returning id""",
        topic,
        order["order_id"],
    )
    assert rows


async def expired(system: System, order: Json) -> Json:
    """Make an order's deadline due, and wait until it is cancelled."""
    await fire_timers(system, order, EXPIRE)
    return await wait_for_order(system, order, status="ORDER_CANCELLED", cancelled_by="DEADLINE")


async def settled(system: System, message: Message, within: float = 20.0, id: UUID | None = None) -> tuple[str, Json]:
    """Like `system.outcome`, but repeat a confirmation that is answered `still_confirming`, too.

    Without an `id` each try is a new request.
    """

    async def outcome() -> tuple[str, Json] | None:
        code, body = await system.outcome(message, id=id)
        return None if code == "still_confirming" else (code, body)

    found: tuple[str, Json] = await eventually(outcome, within)
    return found


# -- queries


async def order_of(system: System, order: Json) -> Json:
    return await system.done(ShowOrder(order_id=order["order_id"], caller=STAFF))


async def wait_for_order(system: System, order: Json, **expected: Any) -> Json:
    """An order as orders has it, once it has these fields."""
    return await system.wait_for(ShowOrder(order_id=order["order_id"], caller=STAFF), 15.0, **expected)


async def view_of(system: System, order: Json) -> Json:
    """One order in the order status, with its timeline."""
    return await system.done(ShowOrderStatus(order_id=order["order_id"], caller=STAFF))


async def wait_for_view(system: System, order: Json, **expected: Any) -> Json:
    """One order in the order status, once it has these fields."""
    return await system.wait_for(ShowOrderStatus(order_id=order["order_id"], caller=STAFF), 15.0, **expected)


async def stock_of(system: System, product_id: UUID) -> int:
    stock: int = (await system.done(ShowProduct(product_id=product_id)))["stock"]
    return stock


async def transfer_of(system: System, order: Json) -> Json:
    """Payments' record of an order's transfer."""
    transfers = await system.items(ListTransfers(limit=200))
    return next(transfer for transfer in transfers if transfer["order_id"] == order["order_id"])


async def order_events(system: System, order: Json, context: str = ORDERS) -> list[str]:
    """The names of a context's events about one order, in the order of their versions."""
    return await system.event_names(context, order_id=order["order_id"])


# -- at the end


async def discrepancies(system: System) -> list[str]:
    """What contradicts itself in an idle system: stock, transfers, deliveries, and the view against orders."""
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
        "stock is taken for an order that is not paid, or not taken for one that is",
        PRODUCTS,
        """select o.order_id, o.status, t.state from shop_orders.orders o full join shop_products.takes t
             on t.order_id = o.order_id and t.round = o.round and t.state = 'TAKEN'
           where (o.status in ('PAYMENT_CONFIRMED', 'PREPARING', 'DELIVERING', 'CLOSED')) is distinct from
             (t.state is not null) and coalesce(t.state, 'TAKEN') = 'TAKEN'""",
    ),
    (
        "the transfer contradicts its order",
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
        "the delivery contradicts its order",
        DELIVERIES,
        """select o.order_id, o.status, d.status as delivery from shop_orders.orders o
           full join shop_deliveries.deliveries d using (order_id)
           where d.status is distinct from case o.status
             when 'DELIVERING' then 'DELIVERING' when 'CLOSED' then 'DELIVERED' end""",
    ),
    (
        "an order is unfinished",
        ORDERS,
        "select order_id, status from shop_orders.orders where status in ('ORDER_PLACED', 'CONFIRMING')",
    ),
    (
        "the view differs from orders",
        ORDER_STATUS,
        """select o.order_id, o.status, v.status as shown from shop_orders.orders o
           left join shop_order_status.orders v on v.order_id = o.order_id
             and generation = (select current from shop_order_status.generations)
           where (o.version, o.status) is distinct from (v.version, v.status)""",
    ),
)
"""What is wrong, the context whose database is queried, and a query for the rows that are wrong."""
