"""Shop: order status, a view that answers even when products, orders, deliveries and payments are down."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.shop.deliveries import DeliveryCompleted, DeliveryPrepared, DeliveryStarted
from contracts.shop.order_status import ListOrderStatus, OrderStatusEntry, OrderStatusPage, ShowOrderStatus
from contracts.shop.orders import (
    BuyerReminded,
    ConfirmationStarted,
    LateTransferNoted,
    OrderCancelled,
    OrderClosed,
    OrderDelivering,
    OrderPlaced,
    OrderPreparing,
    OrderRevived,
    PaymentAwaited,
    PaymentCancelled,
    PaymentConfirmed,
    PaymentReturned,
)
from contracts.shop.products import ProductChanged, ProductRegistered, ProductRestocked, StockReturned, StockTaken
from contracts.transfers import (
    RefundAccountNamed,
    TransferAwaited,
    TransferCancelled,
    TransferConfirmed,
    TransferReturned,
)
from storage.shop import order_status as store
from workers.runtime.processing.tx import RetryableNotFound, StaleRead
from workers.runtime.projections.view import Projection, View

ORDER_EVENTS = (
    OrderPlaced,
    PaymentAwaited,
    BuyerReminded,
    ConfirmationStarted,
    PaymentConfirmed,
    PaymentCancelled,
    OrderPreparing,
    OrderDelivering,
    OrderClosed,
    OrderCancelled,
    OrderRevived,
    LateTransferNoted,
    PaymentReturned,
)
TRANSFER_EVENTS = (TransferAwaited, TransferConfirmed, TransferCancelled, TransferReturned, RefundAccountNamed)
PRODUCT_EVENTS = (ProductRegistered, ProductChanged, ProductRestocked, StockTaken, StockReturned)

worker = order_status = View(
    "shop.order_status",
    store.tables,
    [
        Projection(store.orders, "order_id", ORDER_EVENTS),
        Projection(store.products, "product_id", PRODUCT_EVENTS),
        Projection(store.transfers, "transfer_id", TRANSFER_EVENTS),
        Projection(store.deliveries, "delivery_id", (DeliveryPrepared, DeliveryStarted, DeliveryCompleted)),
    ],
)


@order_status.handles(ListOrderStatus)
async def list_order_status(query: ListOrderStatus, connection: AsyncConnection) -> OrderStatusPage:
    return await store.newest(connection, query)


@order_status.handles(ShowOrderStatus)
async def show_order_status(query: ShowOrderStatus, connection: AsyncConnection) -> OrderStatusEntry:
    entry = await store.find(connection, query.order_id)
    if entry is None or not query.caller.may_see(entry.member_id):
        raise RetryableNotFound
    if entry.version < query.min_version:
        raise StaleRead(entry)
    return entry
