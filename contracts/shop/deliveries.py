"""Shop: what is brought to whom.

PaymentConfirmed -> DeliveryPrepared -> DeliveryStarted -> DeliveryCompleted   (the order is closed)
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
    """A delivery as the system may know it; there is one for each order that was paid for."""

    delivery_id: UUID
    order_id: UUID
    order_status: OrderStatus
    """Where the order stands because of this delivery."""
    member_id: MemberId
    product_id: UUID
    quantity: int
    status: DeliveryStatus
    created_at: AwareDatetime
    modified_at: AwareDatetime
    version: int


class DeliveryPart(Shape):
    """A delivery as it is nested in other things."""

    delivery_id: UUID
    status: DeliveryStatus


class StartDelivery(Command[None]):
    """The goods are packed: deliveries tells itself."""

    topic = "shop.deliveries.start_delivery"

    order_id: UUID


class DeliveryEvent(DeliveryState, Event):
    """What happened to a delivery, with its state afterwards."""


class DeliveryPrepared(DeliveryEvent):
    topic = "shop.deliveries.delivery_prepared"


class DeliveryStarted(DeliveryEvent):
    topic = "shop.deliveries.delivery_started"


class DeliveryCompleted(DeliveryEvent):
    topic = "shop.deliveries.delivery_completed"


class ListDeliveries(Query[Page[DeliveryState]]):
    topic = "shop.deliveries.list_deliveries"

    status: DeliveryStatus | None = None
    limit: int = 50
    cursor: str | None = None
