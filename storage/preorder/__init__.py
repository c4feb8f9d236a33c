"""Phone pre-order: what its contexts remember."""
