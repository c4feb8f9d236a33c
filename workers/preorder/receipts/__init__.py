"""Phone pre-order: a receipt for each paid reservation, void when it is cancelled."""

from workers.preorder.receipts.handlers import worker

__all__ = ["worker"]
