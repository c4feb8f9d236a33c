"""Bike sharing: deposit accounts with top-ups, fees and debts."""

from workers.bike_sharing.deposits.handlers import worker

__all__ = ["worker"]
