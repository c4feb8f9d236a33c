"""Ticketing: the messages of its contexts."""
