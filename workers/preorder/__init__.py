"""Phone pre-order: products, reservations, receipts and my reservations."""
