"""Commands that speak with the system; each module adds its own in `register(app)`."""
