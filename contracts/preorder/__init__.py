"""Phone pre-order: what its contexts say."""
