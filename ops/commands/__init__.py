"""Commands that speak with the town; each module adds its own in `register(app)`."""
