"""What may be said in the system: typed messages with their wire names. Imports nothing of ours."""
