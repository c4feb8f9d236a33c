"""Bike sharing: what its contexts remember."""
