"""Rules of ordering ahead that need no table."""

from __future__ import annotations

from contracts.base import Refused
from contracts.cafe.menu import MenuItem, MenuItemStatus
from contracts.cafe.orders import OrderStatus

SINCE: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    OrderStatus.ACCEPTED: (OrderStatus.ORDERED,),
    OrderStatus.READY: (OrderStatus.ACCEPTED,),
    OrderStatus.COLLECTED: (OrderStatus.READY,),
    OrderStatus.REJECTED: (OrderStatus.ORDERED, OrderStatus.ACCEPTED),
    OrderStatus.CANCELLED: (OrderStatus.ORDERED,),
}
"""Where an order must stand to become what it is moved to."""

ACTIONS = {
    OrderStatus.ACCEPTED: "acceptance",
    OrderStatus.READY: "ready",
    OrderStatus.COLLECTED: "collection",
    OrderStatus.REJECTED: "rejection",
    OrderStatus.CANCELLED: "cancellation",
}


def allowed_actions(status: OrderStatus, *, is_staff: bool) -> list[str]:
    """What a clerk, or the customer, may do with an order; cancelling is the customer's alone."""
    return [
        action
        for to, action in ACTIONS.items()
        if status in SINCE[to] and (to is not OrderStatus.CANCELLED) == is_staff
    ]


def why_not(item: MenuItem, expected_price: int | None) -> Refused | None:
    """Why the menu's answer does not let a customer order; None when it does."""
    if item.status is MenuItemStatus.SOLD_OUT:
        return Refused("sold_out")
    if item.price == 0:
        return Refused("not_for_sale")
    if expected_price not in (None, item.price):
        return Refused("price_changed", price=item.price)
    return None
