"""Café: the messages of its contexts."""
