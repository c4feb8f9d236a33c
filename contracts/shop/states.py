"""Shop: the status of an order, which each event that concerns an order contains."""

from __future__ import annotations

from enum import StrEnum


class OrderStatus(StrEnum):
    ORDER_PLACED = "ORDER_PLACED"
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    CONFIRMING = "CONFIRMING"
    PAYMENT_CONFIRMED = "PAYMENT_CONFIRMED"
    PREPARING = "PREPARING"
    DELIVERING = "DELIVERING"
    CLOSED = "CLOSED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    PAYMENT_CANCELLED = "PAYMENT_CANCELLED"
