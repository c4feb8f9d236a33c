"""Shop: orders, from placing through bank transfer and delivery to closing."""

from workers.shop.orders.handlers import worker

__all__ = ["worker"]
