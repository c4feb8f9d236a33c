"""Rules of ordering, without I/O."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from contracts.base import Refused
from contracts.shop.orders import CancelledBy, Order
from contracts.shop.refusals import AmountMismatch, DeadlinePassed, OrderOutOfStock, OrderWrongState
from contracts.shop.states import OrderStatus

REMIND_AT = 0.75
"""The part of the transfer time after which the buyer is reminded."""

OPEN = frozenset({OrderStatus.ORDER_PLACED, OrderStatus.AWAITING_PAYMENT})
PAID = frozenset({OrderStatus.PAYMENT_CONFIRMED, OrderStatus.PREPARING, OrderStatus.DELIVERING, OrderStatus.CLOSED})
CANCELLED = frozenset({OrderStatus.ORDER_CANCELLED, OrderStatus.PAYMENT_CANCELLED})
ACTIONS = {
    OrderStatus.ORDER_PLACED: ["cancellation", "payment-confirmation"],
    OrderStatus.AWAITING_PAYMENT: ["cancellation", "payment-confirmation"],
    OrderStatus.CONFIRMING: ["payment-confirmation"],
    OrderStatus.DELIVERING: ["receipt-confirmation"],
    OrderStatus.PAYMENT_CANCELLED: ["revival"],
}


class Confirmation(Enum):
    """What a confirmation of payment leads to."""

    BEGIN = "begin"
    """The order becomes CONFIRMING, and stock is requested."""
    JOIN = "join"
    """Another confirmation has requested the stock: request it again, which is idempotent."""
    DONE = "done"
    """The order is paid already."""
    LATE = "late"
    """The order is cancelled: a refund is owed."""


def reference(order_id: UUID) -> str:
    """What the buyer writes on the transfer."""
    return f"YK-{order_id.hex[:8].upper()}"


def remind_after(transfer_time: timedelta) -> timedelta:
    """The time after which the buyer is reminded."""
    return transfer_time * REMIND_AT


def allowed_actions(order: Order) -> list[str]:
    """The actions that the order's status allows."""
    if order.cancelled_by is CancelledBy.DEADLINE:
        return ["revival"]
    return ACTIONS.get(order.status, [])


def refusal_details(order: Order) -> dict[str, Any]:
    """What each refusal of an order tells: its id, status, reason and allowed actions."""
    return {
        "order_id": str(order.order_id),
        "current_status": order.status,
        "allowed_actions": allowed_actions(order),
        **({"reason": order.reason} if order.reason else {}),
    }


def wrong_state(order: Order) -> OrderWrongState:
    return OrderWrongState(**refusal_details(order))


def confirmation(order: Order, amount: int | None, round: int | None) -> Confirmation | Refused:
    """What to do with a confirmation; `round` is the one that it was stored with, None when it is new."""
    if amount is not None and amount != order.total:
        return AmountMismatch(expected=order.total, **refusal_details(order))
    if order.status in PAID:
        return Confirmation.DONE
    if round not in (None, order.round):
        return wrong_state(order)
    if order.status is OrderStatus.CONFIRMING:
        return Confirmation.JOIN
    if order.status in OPEN:
        return Confirmation.BEGIN
    if order.status is OrderStatus.PAYMENT_CANCELLED:
        return OrderOutOfStock(**refusal_details(order))
    return Confirmation.LATE


def late_transfer_refusal(order: Order) -> Refused:
    """The answer to a confirmation of a cancelled order."""
    refusal = DeadlinePassed if order.cancelled_by is CancelledBy.DEADLINE else OrderWrongState
    return refusal(**refusal_details(order))


def settled_answer(order: Order) -> Order | Refused:
    """The answer to a confirmation whose round is settled."""
    if order.status in PAID:
        return order
    refusal = OrderOutOfStock if order.status is OrderStatus.PAYMENT_CANCELLED else OrderWrongState
    return refusal(**refusal_details(order))
