"""Shop: the one screen that shows where an order stands."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime

from contracts.base import Caller, Query, Shape, TimelineEntry, Won
from contracts.shop.orders import Order
from contracts.shop.products import ProductStatus
from contracts.shop.states import OrderStatus


class NextAction(StrEnum):
    """What has to happen next, by whom; nothing more when there is none."""

    TRANSFER = "TRANSFER"
    """The client transfers the money, and the seller confirms it."""
    WAIT_FOR_STOCK = "WAIT_FOR_STOCK"
    """The seller has confirmed: the stock is being taken."""
    WAIT_FOR_DELIVERY = "WAIT_FOR_DELIVERY"
    CONFIRM_RECEIPT = "CONFIRM_RECEIPT"
    """The client."""
    REFUND = "REFUND"
    """The seller gives the money back, or revives the order."""


class ProductPart(Shape):
    """A product as it is now; the order keeps its own price."""

    product_id: UUID
    name: str
    price: Won
    status: ProductStatus


class OrderStatusItem(Order):
    """An order with everything that others know of it."""

    product: ProductPart | None
    """None until the view has heard of the product."""
    next_action: NextAction | None
    deadline: AwareDatetime | None
    """Until when the next action is waited for."""


class OrderStatusEntry(OrderStatusItem):
    as_of: AwareDatetime
    timeline: list[TimelineEntry]


class OrderStatusPage(Shape):
    items: list[OrderStatusItem]
    next_cursor: str | None
    as_of: AwareDatetime


class ListOrderStatus(Query[OrderStatusPage]):
    """The orders of a member, or of all when `member_id` is None, newest first."""

    topic = "shop.order_status.list_order_status"

    member_id: str | None = None
    status: OrderStatus | None = None
    limit: int = 50
    cursor: str | None = None


class ShowOrderStatus(Query[OrderStatusEntry]):
    """One order; waits up to a second until the view has seen `min_version` of it."""

    topic = "shop.order_status.show_order_status"

    order_id: UUID
    min_version: int = 0
    caller: Caller
