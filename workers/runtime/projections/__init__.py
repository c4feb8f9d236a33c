"""Views, fed by events in batches, and their rebuild."""
