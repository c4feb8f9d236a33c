"""Shop: order status, a view of the events of orders, products, deliveries and payments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.shop.deliveries import DeliveryPart
from contracts.shop.order_status import (
    ListOrderStatus,
    NextAction,
    OrderStatusEntry,
    OrderStatusItem,
    OrderStatusPage,
    ProductPart,
)
from contracts.shop.states import OrderStatus
from contracts.transfers import TransferPart
from storage import paging
from storage.views import Instant, MemberText, ViewTables, newest_first, same_key

tables = ViewTables("shop_order_status")

orders = tables.projection(
    "orders",
    "order_id",
    sa.Column("member_id", MemberText, nullable=False),
    sa.Column("product_id", sa.Uuid, nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("unit_price", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("cancelled_by", sa.String(40)),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("transfer_id", sa.Uuid, nullable=False),
    sa.Column("bank_account", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("transfer_deadline", Instant, nullable=False),
    sa.Column("refund_owed", sa.Boolean, nullable=False),
    sa.Column("reminded_at", Instant),
    sa.Column("receipt_deadline", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("modified_at", Instant, nullable=False),
    sa.Index("orders_newest", "generation", "created_at", "order_id"),
    sa.Index("orders_of_member", "generation", "member_id", "created_at", "order_id"),
)
products = tables.projection(
    "products",
    "product_id",
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("price", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
)
transfers = tables.projection("transfers", "transfer_id", sa.Column("status", sa.String(40), nullable=False))
deliveries = tables.projection(
    "deliveries",
    "delivery_id",
    sa.Column("order_id", sa.Uuid, nullable=False),
    sa.Column("status", sa.String(40), nullable=False),
    sa.Index("deliveries_of_order", "generation", "order_id"),
)

NEXT_ACTION = {
    OrderStatus.ORDER_PLACED: NextAction.TRANSFER,
    OrderStatus.AWAITING_PAYMENT: NextAction.TRANSFER,
    OrderStatus.CONFIRMING: NextAction.WAIT_FOR_STOCK,
    OrderStatus.PAYMENT_CONFIRMED: NextAction.WAIT_FOR_DELIVERY,
    OrderStatus.PREPARING: NextAction.WAIT_FOR_DELIVERY,
    OrderStatus.DELIVERING: NextAction.CONFIRM_RECEIPT,
}


_SELECT = (
    sa.select(
        orders,
        products.c.name.label("product_name"),
        products.c.price.label("product_price"),
        products.c.status.label("product_status"),
        transfers.c.status.label("transfer_status"),
        deliveries.c.delivery_id,
        deliveries.c.status.label("delivery_status"),
    )
    .select_from(
        orders.outerjoin(products, same_key(orders, products, "product_id"))
        .outerjoin(transfers, same_key(orders, transfers, "transfer_id"))
        .outerjoin(deliveries, same_key(orders, deliveries, "order_id"))
    )
    .where(orders.c.generation == tables.current())
)
_ONE = _SELECT.where(orders.c.order_id == sa.bindparam("id"))


async def newest(connection: AsyncConnection, query: ListOrderStatus) -> OrderStatusPage:
    """A page of orders, newest first."""
    select = newest_first(_SELECT, orders, "order_id", query)
    rows = (await connection.execute(select)).mappings().all()
    items, cursor = paging.page(rows, query.limit, _item, lambda item: (item.created_at, item.order_id))
    return OrderStatusPage(items=items, next_cursor=cursor, as_of=datetime.now(UTC))


async def find(connection: AsyncConnection, order_id: UUID) -> OrderStatusEntry | None:
    """One order with its timeline; None when the view has no such order."""
    row = (await connection.execute(_ONE, {"id": order_id})).mappings().one_or_none()
    if row is None:
        return None
    return OrderStatusEntry(
        **_item(row).__dict__,
        as_of=datetime.now(UTC),
        timeline=await tables.timeline_entries(connection, [order_id, row["transfer_id"], row["delivery_id"]]),
    )


def next_action(row: Any) -> tuple[NextAction | None, datetime | None]:
    """The next action that an order needs, and its deadline; each None if there is none."""
    status = OrderStatus(row["status"])
    if row["refund_owed"]:
        return NextAction.REFUND, None
    deadlines = {NextAction.TRANSFER: row["transfer_deadline"], NextAction.CONFIRM_RECEIPT: row["receipt_deadline"]}
    action = NEXT_ACTION.get(status)
    return action, deadlines.get(action) if action else None


def _item(row: Any) -> OrderStatusItem:
    fields = {name: row[name] for name in orders.c.keys() if name != "generation"}  # noqa: SIM118 - of the table
    action, deadline = next_action(row)
    product = row["product_name"] and ProductPart(
        product_id=row["product_id"],
        name=row["product_name"],
        price=row["product_price"],
        status=row["product_status"],
    )
    transfer = TransferPart(
        transfer_id=row["transfer_id"],
        status=row["transfer_status"],
        amount=row["total"],
        bank_account=row["bank_account"],
        reference=row["reference"],
        deadline=row["transfer_deadline"],
        refund_owed=row["refund_owed"],
    )
    delivery = row["delivery_id"] and DeliveryPart(delivery_id=row["delivery_id"], status=row["delivery_status"])
    return OrderStatusItem(
        **fields, product=product, transfer=transfer, delivery=delivery, next_action=action, deadline=deadline
    )
