"""Café: orders that are placed before pickup."""

from workers.cafe.orders.handlers import worker

__all__ = ["worker"]
