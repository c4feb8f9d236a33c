"""Shop: deliveries, one for each paid order.

PaymentConfirmed -> DeliveryPrepared -> StartDelivery (a timer) -> DeliveryStarted
OrderClosed      -> DeliveryCompleted
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid5

from contracts.base import Page
from contracts.shop.deliveries import (
    DeliveryCompleted,
    DeliveryPrepared,
    DeliveryStarted,
    DeliveryState,
    ListDeliveries,
    StartDelivery,
)
from contracts.shop.orders import OrderClosed, PaymentConfirmed
from storage.database import Session
from storage.shop import deliveries as store
from workers.runtime.processing.tx import Tx
from workers.runtime.worker import Worker
from workers.shop.settings import ShopSettings

worker = deliveries = Worker("shop.deliveries")


@deliveries.handles(PaymentConfirmed)
async def prepare_delivery(event: PaymentConfirmed, tx: Tx) -> None:
    delivery = await store.prepare(tx, uuid5(event.order_id, "delivery"), event)
    if delivery is not None:
        tx.publish(DeliveryPrepared.of(delivery))
        tx.schedule(
            StartDelivery(order_id=event.order_id),
            after=timedelta(seconds=tx.settings(ShopSettings).shop_preparing_seconds),
        )


@deliveries.handles(StartDelivery)
async def start_delivery(command: StartDelivery, tx: Tx) -> None:
    delivery = await store.start(tx, command.order_id)
    if delivery is not None:
        tx.publish(DeliveryStarted.of(delivery))


@deliveries.handles(OrderClosed)
async def complete_delivery(event: OrderClosed, tx: Tx) -> None:
    delivery = await store.complete(tx, event.order_id)
    if delivery is not None:
        tx.publish(DeliveryCompleted.of(delivery))


@deliveries.handles(ListDeliveries)
async def list_deliveries(query: ListDeliveries, session: Session) -> Page[DeliveryState]:
    return await store.newest(session, query)
