"""What may be said in the town: typed messages with their wire names. Imports nothing of ours."""
