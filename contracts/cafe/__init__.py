"""Café: the messages of its contexts."""

POSITION = 5
"""Where documents and pages show this system among the others."""
