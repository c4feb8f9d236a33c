"""Rules of ordering that need no table."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from uuid import UUID

from contracts.base import Refused
from contracts.shop.orders import CancelledBy, Order
from contracts.shop.states import OrderStatus

REMIND_AT = 0.75
"""Of the time to transfer."""

OPEN = frozenset({OrderStatus.ORDER_PLACED, OrderStatus.AWAITING_PAYMENT})
PAID = frozenset({OrderStatus.PAYMENT_CONFIRMED, OrderStatus.PREPARING, OrderStatus.DELIVERING, OrderStatus.CLOSED})
ACTIONS = {
    OrderStatus.ORDER_PLACED: ["cancellation", "payment-confirmation"],
    OrderStatus.AWAITING_PAYMENT: ["cancellation", "payment-confirmation"],
    OrderStatus.CONFIRMING: ["payment-confirmation"],
    OrderStatus.DELIVERING: ["receipt-confirmation"],
    OrderStatus.PAYMENT_CANCELLED: ["revival"],
}


class Confirmation(Enum):
    """What a seller's word that the money is there leads to."""

    BEGIN = "begin"
    """The order becomes CONFIRMING, and the stock is asked for."""
    JOIN = "join"
    """The stock is being asked for: ask as well, which takes nothing twice."""
    DONE = "done"
    LATE = "late"
    """The order is cancelled: the money is owed back."""


def reference(order_id: UUID) -> str:
    """What the buyer writes on the transfer."""
    return f"YK-{order_id.hex[:8].upper()}"


def remind_after(patience: timedelta) -> timedelta:
    return patience * REMIND_AT


def allowed(order: Order) -> list[str]:
    """What can be done with an order as it stands."""
    if order.cancelled_by is CancelledBy.DEADLINE:
        return ["revival"]
    return ACTIONS.get(order.status, [])


def refusal(code: str, order: Order, **more: object) -> Refused:
    return Refused(
        code,
        order_id=str(order.order_id),
        current_status=order.status,
        allowed_actions=allowed(order),
        **({"reason": order.reason} if order.reason else {}),
        **more,
    )


def confirmation(order: Order, amount: int | None, round: int | None) -> Confirmation | Refused:
    """What to do with a confirmation; `round` is the one that it was begun in, None when it is new."""
    if amount is not None and amount != order.total:
        return refusal("amount_mismatch", order, expected=order.total)
    if order.status in PAID:
        return Confirmation.DONE
    if round not in (None, order.round):
        return refusal("wrong_state", order)
    if order.status is OrderStatus.CONFIRMING:
        return Confirmation.JOIN
    if order.status in OPEN:
        return Confirmation.BEGIN
    if order.status is OrderStatus.PAYMENT_CANCELLED:
        return refusal("out_of_stock", order)
    return Confirmation.LATE


def too_late(order: Order) -> Refused:
    """The answer to a confirmation of an order that is cancelled."""
    return refusal("deadline_passed" if order.cancelled_by is CancelledBy.DEADLINE else "wrong_state", order)


def settled(order: Order) -> Order | Refused:
    """The answer to a confirmation whose round somebody else has settled."""
    if order.status in PAID:
        return order
    return refusal("out_of_stock" if order.status is OrderStatus.PAYMENT_CANCELLED else "wrong_state", order)
