"""Video rental: what its contexts say."""
