"""Ticketing: ticket prices and discount policies."""

from workers.ticketing.pricing.handlers import worker

__all__ = ["worker"]
