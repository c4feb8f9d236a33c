"""Video rental."""
