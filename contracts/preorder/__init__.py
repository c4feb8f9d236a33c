"""Phone pre-order: the messages of its contexts."""

POSITION = 6
"""Where documents and pages show this system among the others."""
