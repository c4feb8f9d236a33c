"""Phone pre-order: reservations, paid for when they are made."""

from workers.preorder.reservations.handlers import worker

__all__ = ["worker"]
