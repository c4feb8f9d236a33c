"""Shop: the messages of its contexts."""
