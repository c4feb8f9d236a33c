"""Phone pre-order: reserve a phone and pay at once; cancel payment and receipt together."""

from workers.preorder.reservations.handlers import worker

__all__ = ["worker"]
