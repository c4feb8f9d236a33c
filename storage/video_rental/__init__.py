"""Video rental: what its contexts remember."""
