"""Video rental: the messages of its contexts."""
