"""Bike sharing: the messages of its contexts."""
