"""Café: what its contexts say."""
