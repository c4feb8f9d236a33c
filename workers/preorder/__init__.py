"""Phone pre-order."""
