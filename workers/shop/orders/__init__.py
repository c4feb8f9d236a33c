"""Shop: take orders around the clock, see the money, take the stock, close."""

from workers.shop.orders.handlers import worker

__all__ = ["worker"]
