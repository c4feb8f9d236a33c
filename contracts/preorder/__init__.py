"""Phone pre-order: the messages of its contexts."""
