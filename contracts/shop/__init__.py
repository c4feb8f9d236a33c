"""Shop: the messages of its contexts."""

POSITION = 4
"""Where documents and pages show this system among the others."""
