"""Shop: deliveries, one for each paid order.

PaymentConfirmed -> DeliveryPrepared -> StartDelivery (a timer) -> DeliveryStarted
OrderClosed      -> DeliveryCompleted
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Command, Event, MemberId, Page, Query, Shape
from contracts.shop.states import OrderStatus


class DeliveryStatus(StrEnum):
    PREPARING = "PREPARING"
    DELIVERING = "DELIVERING"
    DELIVERED = "DELIVERED"


class DeliveryState(Shape):
    """The public state of a delivery; each paid order has one."""

    delivery_id: UUID
    order_id: UUID
    order_status: OrderStatus
    """The status of the order that follows from this delivery."""
    member_id: MemberId
    product_id: UUID
    quantity: int
    status: DeliveryStatus
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class DeliveryPart(Shape):
    """A delivery as it is nested in other answers."""

    delivery_id: UUID
    status: DeliveryStatus


class StartDelivery(Command[None]):
    """The goods are packed; deliveries schedules it for itself."""

    topic = "shop.deliveries.start_delivery"

    order_id: UUID


class DeliveryEvent(DeliveryState, Event):
    """A change of a delivery, with its state after the change."""


class DeliveryPrepared(DeliveryEvent):
    topic = "shop.deliveries.delivery_prepared"


class DeliveryStarted(DeliveryEvent):
    topic = "shop.deliveries.delivery_started"


class DeliveryCompleted(DeliveryEvent):
    topic = "shop.deliveries.delivery_completed"


class ListDeliveries(Query[Page[DeliveryState]]):
    topic = "shop.deliveries.list_deliveries"
    refusals = ()

    status: DeliveryStatus | None = None
    limit: int = 50
    cursor: str | None = None
