"""Ticketing: what its contexts say."""
