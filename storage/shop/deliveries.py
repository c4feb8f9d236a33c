"""Shop: deliveries, one row per paid order."""

from __future__ import annotations

from uuid import UUID

from contracts.base import Page
from contracts.shop.deliveries import DeliveryState, ListDeliveries
from contracts.shop.orders import OrderState
from storage import paging
from storage.database import Row, Session, Statement


def delivery_of(row: Row) -> DeliveryState:
    return DeliveryState.model_validate(dict(row))


_PREPARE = Statement("""
    insert into shop_deliveries.deliveries
      (delivery_id, order_id, order_status, member_id, product_id, quantity, status)
    values (:delivery_id, :order_id, 'PREPARING', :member_id, :product_id, :quantity, 'PREPARING')
    on conflict do nothing returning *""")


async def prepare(session: Session, delivery_id: UUID, order: OrderState) -> DeliveryState | None:
    """Insert the delivery of an order; None when it exists."""
    row = await session.one(
        _PREPARE,
        delivery_id=delivery_id,
        order_id=order.order_id,
        member_id=order.member_id,
        product_id=order.product_id,
        quantity=order.quantity,
    )
    return delivery_of(row) if row else None


_MOVE = Statement("""
    update shop_deliveries.deliveries set status = :to, order_status = :order_status,
      modified_at = now(), version = version + 1
    where order_id = :order_id and status = :from_status returning *""")


async def start(session: Session, order_id: UUID) -> DeliveryState | None:
    """Set a delivery to DELIVERING; None when it is not PREPARING."""
    row = await session.one(
        _MOVE, order_id=order_id, from_status="PREPARING", to="DELIVERING", order_status="DELIVERING"
    )
    return delivery_of(row) if row else None


async def complete(session: Session, order_id: UUID) -> DeliveryState | None:
    """Set a delivery to DELIVERED; None when it is not DELIVERING."""
    row = await session.one(_MOVE, order_id=order_id, from_status="DELIVERING", to="DELIVERED", order_status="CLOSED")
    return delivery_of(row) if row else None


_NEWEST = paging.Newest(
    DeliveryState, "shop_deliveries.deliveries", "delivery_id", filters=("status",), make=delivery_of
)


async def newest(session: Session, query: ListDeliveries) -> Page[DeliveryState]:
    """One page of deliveries, newest first."""
    return await _NEWEST.page(session, query)
