"""Video rental: the messages of its contexts."""

POSITION = 1
"""Where documents and pages show this system among the others."""
