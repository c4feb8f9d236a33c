"""Bike sharing: the messages of its contexts."""

POSITION = 3
"""Where documents and pages show this system among the others."""
