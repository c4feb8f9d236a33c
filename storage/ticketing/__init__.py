"""Ticketing: what its contexts remember."""
