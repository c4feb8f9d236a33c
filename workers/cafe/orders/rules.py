"""Rules of ordering ahead, without I/O."""

from __future__ import annotations

from contracts.base import Refused
from contracts.cafe.menu import MenuItem, MenuItemStatus
from contracts.cafe.orders import OrderStatus
from contracts.cafe.refusals import NotForSale, SoldOut
from contracts.refusals import PriceChanged

ALLOWED_FROM: dict[OrderStatus, tuple[OrderStatus, ...]] = {
    OrderStatus.ACCEPTED: (OrderStatus.ORDERED,),
    OrderStatus.READY: (OrderStatus.ACCEPTED,),
    OrderStatus.COLLECTED: (OrderStatus.READY,),
    OrderStatus.REJECTED: (OrderStatus.ORDERED, OrderStatus.ACCEPTED),
    OrderStatus.CANCELLED: (OrderStatus.ORDERED,),
}
"""The statuses from which an order may change to a status."""

ACTIONS = {
    OrderStatus.ACCEPTED: "acceptance",
    OrderStatus.READY: "ready",
    OrderStatus.COLLECTED: "collection",
    OrderStatus.REJECTED: "rejection",
    OrderStatus.CANCELLED: "cancellation",
}


def allowed_actions(status: OrderStatus, *, is_staff: bool) -> list[str]:
    """The actions that staff or the customer may take; only the customer may cancel, staff take all other actions."""
    return [
        action
        for to, action in ACTIONS.items()
        if status in ALLOWED_FROM[to] and (to is not OrderStatus.CANCELLED) == is_staff
    ]


def order_refusal(item: MenuItem, expected_price: int | None) -> Refused | None:
    """The refusal of an order for the menu's current state of an item; None when it can be ordered."""
    if item.status is MenuItemStatus.SOLD_OUT:
        return SoldOut()
    if item.price == 0:
        return NotForSale()
    if expected_price not in (None, item.price):
        return PriceChanged(price=item.price)
    return None
