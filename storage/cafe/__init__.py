"""Café: what its contexts remember."""
