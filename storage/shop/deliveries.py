"""Shop: one delivery for each order that was paid for."""

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
    """Begin the delivery of an order; None when it was begun before."""
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
    where order_id = :order_id and status = :since returning *""")


async def start(session: Session, order_id: UUID) -> DeliveryState | None:
    """Send it on its way; None when it is, or when there is nothing to send."""
    row = await session.one(_MOVE, order_id=order_id, since="PREPARING", to="DELIVERING", order_status="DELIVERING")
    return delivery_of(row) if row else None


async def complete(session: Session, order_id: UUID) -> DeliveryState | None:
    """It was received; None when that is known."""
    row = await session.one(_MOVE, order_id=order_id, since="DELIVERING", to="DELIVERED", order_status="CLOSED")
    return delivery_of(row) if row else None


_NEWEST = Statement("""
    select * from shop_deliveries.deliveries
    where (cast(:status as text) is null or status = :status)
      and (cast(:at as timestamptz) is null or (created_at, delivery_id) < (:at, cast(:id as uuid)))
    order by created_at desc, delivery_id desc limit :most""")


async def newest(session: Session, query: ListDeliveries) -> Page[DeliveryState]:
    at, id = paging.decode(query.cursor)
    rows = await session.all(_NEWEST, status=query.status, at=at, id=id, most=query.limit + 1)
    items, cursor = paging.page(rows, query.limit, delivery_of, lambda one: (one.created_at, one.delivery_id))
    return Page[DeliveryState](items=items, next_cursor=cursor)
