"""Bike sharing: deposit accounts with top-ups, fees, debts and withdrawals."""

from workers.bike_sharing.deposits import withdrawals
from workers.bike_sharing.deposits.handlers import worker

__all__ = ["withdrawals", "worker"]
