"""The shop: the checks that stock, transfers and deliveries agree with the orders."""
# ruff: noqa: S608 - statements are put together from constants of this package

from __future__ import annotations

from datetime import timedelta

from contracts.shop.deliveries import DeliveryEvent, StartDelivery
from contracts.shop.orders import CloseOrder, ConfirmPayment, ExpireOrder, OrderEvent, PlaceOrder
from contracts.shop.products import (
    ProductChanged,
    ProductRegistered,
    ProductRestocked,
    ProductState,
    RegisterProduct,
    StockEvent,
)
from contracts.transfers import TransferEvent
from ops.audit.invariant import (
    Publication,
    SystemChecks,
    TableComparison,
    UnfinishedCheck,
    columns_of,
    steps_naming,
    topics_of,
    view_comparison,
)
from ops.audit.stores import Row, Stores
from storage.shop import order_status

PAID = "status in ('PAYMENT_CONFIRMED', 'PREPARING', 'DELIVERING', 'CLOSED')"
CANCELLED = "status in ('ORDER_CANCELLED', 'PAYMENT_CANCELLED')"


def _orders(condition: str) -> str:
    return f"select order_id as id from <shop_orders.orders> where {condition}"


# -- I3

UNEVEN = """
    with taken as (
      select product_id, sum(quantity) as taken from <shop_products.takes> where state = 'TAKEN' group by 1)
    select product_id, stock, supplied, coalesce(taken, 0) as taken from <shop_products.products>
    left join taken using (product_id) where stock < 0 or stock <> supplied - coalesce(taken, 0) order by 1"""

# Stock taken by a round that its order does not have, and paid orders that took none. An order that is CONFIRMING may
# have taken its stock already.
WRONG_TAKES = f"""
    with taken as (select * from <shop_products.takes> where state = 'TAKEN'),
    due as (select * from <shop_orders.orders> where {PAID} or status = 'CONFIRMING')
    select coalesce(o.order_id, t.order_id) as order_id, o.status, o.quantity as ordered, t.quantity as taken,
      coalesce(o.round, t.round) as round
    from due o full join taken t on (t.order_id, t.round) = (o.order_id, o.round)
    where o.quantity is distinct from t.quantity and (t.quantity is not null or o.status <> 'CONFIRMING')
    order by 1, 5"""


async def capacity(stores: Stores) -> list[str]:
    """Check that stock equals supply less what orders took, and that only paid orders took any."""
    found = [
        f"product {row['product_id']}: {row['stock']} are in stock, of {row['supplied']} supplied {row['taken']} "
        "are taken"
        for row in await stores.rows(UNEVEN)
    ]
    return found + [
        f"order {row['order_id']} is {row['status'] or 'not paid for'} in round {row['round']}: "
        f"{row['ordered'] or 0} are due to it, {row['taken'] or 0} are taken"
        for row in await stores.rows(WRONG_TAKES)
    ]


# -- I4

# Payments' row of each order's transfer. That payments received every order is checked by I5.
TRANSFER_DIFFERENT = f"""
    select o.order_id, o.status, o.total, o.refund_owed, t.status as transfer, t.amount, t.refund_owed as owed
    from <shop_orders.orders> o join <payments.transfers> t using (order_id)
    where t.amount <> o.total or t.refund_owed <> o.refund_owed or t.status <> case
      when {PAID.replace("status", "o.status")} then 'TRANSFER_CONFIRMED'
      when {CANCELLED.replace("status", "o.status")} then 'TRANSFER_CANCELLED' else 'AWAITING_TRANSFER' end
    order by o.order_id"""

TRANSFER_WITHOUT_ORDER = """
    select transfer_id, order_id from <payments.transfers> t
    where not exists (select from <shop_orders.orders> o where o.order_id = t.order_id) order by 1"""


# Each round of an order has its money once, and it goes back once.
WRONG_RETURNS = """
    select transfer_id, t.returned_round, t.returned_at, count(e.version) as returns
    from <payments.transfers> t left join <payments.entries> e on e.subject_id = t.transfer_id
      and e.what = 'TRANSFER_RETURNED'
    group by transfer_id, t.returned_round, t.returned_at
    having count(e.version) > t.returned_round or (count(e.version) = 0) <> (t.returned_at is null) order by 1"""


async def transfers(stores: Stores) -> list[str]:
    """Check that each transfer is confirmed or cancelled as its order is, and owed back when it had been paid."""
    if "payments" in stores.without:
        return []
    found = [_transfer_difference(row) for row in await stores.rows(TRANSFER_DIFFERENT)]
    found += [
        f"transfer {row['transfer_id']} was sent back {row['returns']} times by its entries, "
        f"and last in round {row['returned_round']} at {row['returned_at'] or 'no time'}"
        for row in await stores.rows(WRONG_RETURNS)
    ]
    return found + [
        f"transfer {row['transfer_id']} is for order {row['order_id']}, which does not exist"
        for row in await stores.rows(TRANSFER_WITHOUT_ORDER)
    ]


def _transfer_difference(row: Row) -> str:
    owed = {True: "owed back", False: "not owed back"}
    return (
        f"order {row['order_id']} is {row['status']} for {row['total']} won ({owed[row['refund_owed']]}), "
        f"and its transfer {row['transfer']} of {row['amount']} won ({owed[row['owed']]})"
    )


# -- I5

NOT_RECEIVED = {
    "payments": (
        "order {}: payments does not have its transfer",
        """select order_id from <shop_orders.orders> o
        where not exists (select from <payments.transfers> t where t.order_id = o.order_id) order by 1""",
    ),
    "shop.deliveries": (
        "order {} is paid for, and deliveries does not have it",
        f"""select order_id from <shop_orders.orders> o where {PAID}
        and not exists (select from <shop_deliveries.deliveries> d where d.order_id = o.order_id) order by 1""",
    ),
    "shop.products": (
        "order {} was out of stock, and products has not closed its round",
        """select order_id from <shop_orders.orders> o where status = 'PAYMENT_CANCELLED' and not exists (
          select from <shop_products.takes> t
          where (t.order_id, t.round, t.state) = (o.order_id, o.round, 'RETURNED')) order by 1""",
    ),
}
"""The rows that messages of orders must have caused, by the context that received them."""


async def nothing_lost(stores: Stores) -> list[str]:
    """Check that messages of orders arrived, by the rows that they cause."""
    return [
        sentence.format(row["order_id"])
        for context, (sentence, statement) in NOT_RECEIVED.items()
        if context not in stores.without
        for row in await stores.rows(statement)
    ]


# -- I6

DELIVERED_TWICE = """
    select order_id, count(*) from <shop_orders.orders> join <shop_deliveries.deliveries> using (order_id)
    group by order_id having count(*) > 1 order by 1"""
DELIVERED_UNPAID = f"""
    select d.order_id, o.status from <shop_deliveries.deliveries> d left join <shop_orders.orders> o using (order_id)
    where o.order_id is null or not ({PAID.replace("status", "o.status")}) order by 1"""
ENTRIES = """
    select transfer_id, t.version, count(e.version) as entries from <payments.transfers> t
    left join <payments.entries> e on e.subject_id = t.transfer_id
    group by transfer_id, t.version having count(e.version) <> t.version order by 1"""


async def effect_once(stores: Stores) -> list[str]:
    """Check that paid orders have one delivery, others none, and each version of a transfer one entry."""
    found = [f"order {row['order_id']} has {row['count']} deliveries" for row in await stores.rows(DELIVERED_TWICE)]
    found += [
        f"order {row['order_id']} is {row['status'] or 'not there'}, and has a delivery"
        for row in await stores.rows(DELIVERED_UNPAID)
    ]
    return found + [
        f"transfer {row['transfer_id']} has {row['entries']} entries for {row['version']} versions"
        for row in await stores.rows(ENTRIES)
    ]


# -- I8

DIFFERENT_STATUS = """
    select order_id, '{what}' as what, o.{what}_status as recorded, x.status from <shop_orders.orders> o
    join <{table}> x using (order_id) where o.{what}_status is distinct from x.status order by 1"""


async def copies_equal(stores: Stores) -> list[str]:
    """Check that orders has the status of each transfer and delivery as their writers have it."""
    tables = {"transfer": "payments.transfers", "delivery": "shop_deliveries.deliveries"}
    return [
        f"order {row['order_id']} has its {row['what']} as {row['recorded']}, and it is {row['status']}"
        for what, table in tables.items()
        for row in await stores.rows(DIFFERENT_STATUS.replace("{what}", what).replace("{table}", table))
    ]


# -- I9

ANSWERED_WITHOUT_ROW = """
    select id from <{schema}.inbox> i where topic = $1 and state = 'done' and not refused and answer is not null
      and not exists (select from <{schema}.{table}> t where t.{key} = i.id) order by id"""
ORDER_WITHOUT_REQUEST = """
    select order_id from <shop_orders.orders> o where created_at > now() - $2::interval
      and not exists (select from <shop_orders.inbox> i where i.id = o.order_id and i.topic = $1) order by 1"""
# A confirmation that was answered as done must belong to a paid order.
CONFIRMED = f"""
    select i.id, o.order_id, o.status from <shop_orders.inbox> i
    join <shop_orders.orders> o on o.order_id = (i.answer::json ->> 'order_id')::uuid
    where i.topic = $1 and i.state = 'done' and not i.refused and not ({PAID.replace("status", "o.status")})
    order by 1"""


async def answers(stores: Stores) -> list[str]:
    """Check that each kept answer agrees with its row, and that each order has its request in the inbox."""
    made = (
        ("order", PlaceOrder.topic, ("shop_orders", "orders", "order_id")),
        ("product", RegisterProduct.topic, ("shop_products", "products", "product_id")),
    )
    found = []
    for what, topic, (schema, table, key) in made:
        missing = ANSWERED_WITHOUT_ROW.replace("{schema}", schema).replace("{table}", table).replace("{key}", key)
        found += [f"{what} {row['id']} was answered for, and is not there" for row in await stores.rows(missing, topic)]
    kept = timedelta(days=stores.settings.keep_answers_days) - timedelta(hours=1)
    found += [
        f"order {row['order_id']} has no request in the inbox"
        for row in await stores.rows(ORDER_WITHOUT_REQUEST, PlaceOrder.topic, kept)
    ]
    return found + [
        f"confirmation {row['id']} was answered as done, and order {row['order_id']} is {row['status']}"
        for row in await stores.rows(CONFIRMED, ConfirmPayment.topic)
    ]


CHECKS = SystemChecks(
    tables={
        "shop_products": ("products", "takes", "inbox"),
        "shop_orders": ("orders", "products", "inbox"),
        "shop_deliveries": ("deliveries", "inbox"),
        "shop_order_status": ("generations", "orders", "products", "transfers", "deliveries", "timeline"),
    },
    writers={
        "shop.products": "shop_products",
        "shop.orders": "shop_orders",
        "shop.deliveries": "shop_deliveries",
    },
    views=[order_status.tables],
    comparisons=[
        TableComparison(
            "product",
            "product_id",
            "shop_products.products",
            "shop_orders.products",
            columns_of(ProductState, "product_id"),
        ),
        view_comparison(order_status.tables, order_status.products, "product_id", "shop_products.products"),
        view_comparison(order_status.tables, order_status.orders, "order_id", "shop_orders.orders"),
        view_comparison(order_status.tables, order_status.transfers, "transfer_id", "payments.transfers"),
        view_comparison(order_status.tables, order_status.deliveries, "delivery_id", "shop_deliveries.deliveries"),
    ],
    publications=[
        Publication(
            "product",
            "shop_products.products",
            "product_id",
            [ProductRegistered.topic, ProductChanged.topic, ProductRestocked.topic, *topics_of(StockEvent)],
        ),
        Publication("order", "shop_orders.orders", "order_id", topics_of(OrderEvent)),
        Publication("transfer", "payments.transfers", "transfer_id", topics_of(TransferEvent)),
        Publication("delivery", "shop_deliveries.deliveries", "delivery_id", topics_of(DeliveryEvent)),
    ],
    republished={"shop_products.products": "product_id"},
    unfinished=[
        UnfinishedCheck(
            "order {} is CONFIRMING, and no step goes on with it",
            _orders("status = 'CONFIRMING'"),
            steps_naming("shop_orders", "order_id"),
            ConfirmPayment.topic,
        ),
        UnfinishedCheck(
            "order {} waits for its money, and no timer would end it",
            _orders("status in ('ORDER_PLACED', 'AWAITING_PAYMENT')"),
            steps_naming("shop_orders", "order_id"),
            ExpireOrder.topic,
        ),
        UnfinishedCheck(
            "order {} is DELIVERING, and no timer would close it",
            _orders("status = 'DELIVERING'"),
            steps_naming("shop_orders", "order_id"),
            CloseOrder.topic,
        ),
        UnfinishedCheck(
            "the delivery of order {} is PREPARING, and no timer would start it",
            "select order_id as id from <shop_deliveries.deliveries> where status = 'PREPARING'",
            steps_naming("shop_deliveries", "order_id"),
            StartDelivery.topic,
        ),
    ],
    checks={
        "I3": [capacity],
        "I4": [transfers],
        "I5": [nothing_lost],
        "I6": [effect_once],
        "I8": [copies_equal],
        "I9": [answers],
    },
)
