"""Ticketing: prices, and the policies behind them."""

from workers.ticketing.pricing.handlers import worker

__all__ = ["worker"]
