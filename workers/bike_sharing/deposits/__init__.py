"""Bike sharing: top up, take fees, pay debts; the balance is the sum of the ledger."""

from workers.bike_sharing.deposits.handlers import worker

__all__ = ["worker"]
