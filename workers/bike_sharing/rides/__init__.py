"""Bike sharing: rides and their fees."""

from workers.bike_sharing.rides.handlers import worker

__all__ = ["worker"]
