"""Shop: what its contexts remember."""
