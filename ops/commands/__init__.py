"""The commands that use a running system; each module adds its own in `register(app)`."""
