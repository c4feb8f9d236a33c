"""Bike sharing: bikes, rides, billing, deposits and the ride history."""
