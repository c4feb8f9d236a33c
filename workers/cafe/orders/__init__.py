"""Café: ask the price, order, accept, hand over."""

from workers.cafe.orders.handlers import worker

__all__ = ["worker"]
