"""Shop: what its contexts say."""
