"""Ticketing: the messages of its contexts."""

POSITION = 2
"""Where documents and pages show this system among the others."""
