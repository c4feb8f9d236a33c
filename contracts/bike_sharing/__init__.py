"""Bike sharing: what its contexts say."""
