"""Bike sharing: start a ride, end it, and know what it costs."""

from workers.bike_sharing.rides.handlers import worker

__all__ = ["worker"]
