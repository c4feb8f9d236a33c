"""Phone pre-order: one receipt for each paid reservation, voided when the reservation is cancelled."""

from workers.preorder.receipts.handlers import worker

__all__ = ["worker"]
