"""Shop: order status, a view of the events of orders, products, deliveries and payments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from contracts.shop.deliveries import DeliveryState
from contracts.shop.order_status import ListOrderStatus, NextAction, ShowOrderStatus
from contracts.shop.orders import OrderState
from contracts.shop.products import ProductState
from contracts.shop.states import OrderStatus
from contracts.transfers import TransferState
from storage.view_queries import Joined, ViewQueries
from storage.views import ViewTables

tables = ViewTables("shop_order_status")

orders = tables.projection("orders", OrderState, listed=True)
products = tables.projection("products", ProductState, "name", "price", "status")
transfers = tables.projection("transfers", TransferState, "status", "returned_at", "refund_account_last4")
deliveries = tables.projection("deliveries", DeliveryState, "order_id", "status", index=("order_id",))

NEXT_ACTION = {
    OrderStatus.ORDER_PLACED: NextAction.TRANSFER,
    OrderStatus.AWAITING_PAYMENT: NextAction.TRANSFER,
    OrderStatus.CONFIRMING: NextAction.WAIT_FOR_STOCK,
    OrderStatus.PAYMENT_CONFIRMED: NextAction.WAIT_FOR_DELIVERY,
    OrderStatus.PREPARING: NextAction.WAIT_FOR_DELIVERY,
    OrderStatus.DELIVERING: NextAction.CONFIRM_RECEIPT,
}


def next_action(row: Any) -> tuple[NextAction | None, datetime | None]:
    """The next action that an order needs, and its deadline; each None if there is none."""
    status = OrderStatus(row["status"])
    if row["refund_owed"]:
        return NextAction.REFUND, None
    deadlines = {NextAction.TRANSFER: row["transfer_deadline"], NextAction.CONFIRM_RECEIPT: row["receipt_deadline"]}
    action = NEXT_ACTION.get(status)
    return action, deadlines.get(action) if action else None


class OrderQueries(ViewQueries):
    """The queries about orders: each with the transfer that it waits for and the next action."""

    def fields(self, row: sa.RowMapping, query: Any) -> dict[str, Any]:
        action, deadline = next_action(row)
        transfer = {
            "transfer_id": row["transfer_id"],
            "status": row["transfer_status"],
            "amount": row["total"],
            "bank_account": row["bank_account"],
            "reference": row["reference"],
            "deadline": row["transfer_deadline"],
            "refund_owed": row["refund_owed"],
            "returned_at": row["returned_at"],
            "returned_amount": row["total"] if row["returned_at"] else None,
            "refund_account_last4": row["refund_account_last4"],
        }
        return super().fields(row, query) | {"transfer": transfer, "next_action": action, "deadline": deadline}


queries = OrderQueries(
    tables,
    orders,
    lists=ListOrderStatus,
    shows=ShowOrderStatus,
    joined=[
        Joined(products, "product_id", part="product"),
        Joined(
            transfers,
            "transfer_id",
            columns=[
                transfers.c.status.label("transfer_status"),
                transfers.c.returned_at,
                transfers.c.refund_account_last4,
            ],
        ),
        Joined(deliveries, "order_id", part="delivery"),
    ],
    timeline=[orders.c.transfer_id, deliveries.c.delivery_id],
)
