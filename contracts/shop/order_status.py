"""Shop: order status, a view of orders with product, transfer, delivery and the next action."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry, Won
from contracts.refusals import NotFound
from contracts.shop.orders import Order
from contracts.shop.products import ProductStatus
from contracts.shop.states import OrderStatus


class NextAction(StrEnum):
    """The next action that an order needs, and who takes it."""

    TRANSFER = "TRANSFER"
    """The customer transfers the money, and the seller confirms it."""
    WAIT_FOR_STOCK = "WAIT_FOR_STOCK"
    """The seller has confirmed; stock is being taken."""
    WAIT_FOR_DELIVERY = "WAIT_FOR_DELIVERY"
    CONFIRM_RECEIPT = "CONFIRM_RECEIPT"
    """The customer confirms the receipt."""
    REFUND = "REFUND"
    """The seller refunds the money, or revives the order."""


class ProductPart(Shape):
    """The current state of a product; the order has its own price."""

    product_id: UUID
    name: str
    price: Won
    status: ProductStatus


class OrderStatusItem(Order):
    """An order with its product, transfer, delivery and next action."""

    product: ProductPart | None
    """None until the view has received an event of the product."""
    next_action: NextAction | None
    """None when the order is finished."""
    deadline: AwareDatetime | None
    """The deadline of the next action; None if it has none."""


class OrderStatusEntry(OrderStatusItem):
    """An order with its timeline; `as_of` is the time of reading."""

    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class OrderStatusPage(Shape):
    """One page of orders; `as_of` is the time of reading."""

    items: list[OrderStatusItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListOrderStatus(Query[OrderStatusPage]):
    """The orders of a member, or of all when `member_id` is None, newest first."""

    topic = "shop.order_status.list_order_status"
    refusals = ()

    member_id: str | None = None
    status: OrderStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowOrderStatus(Query[OrderStatusEntry]):
    """One order; waits up to one second until the view has applied its version `min_version`."""

    topic = "shop.order_status.show_order_status"
    refusals = (NotFound,)

    order_id: UUID
    min_version: int = 0
    caller: Caller
