"""Ticketing: tickets, pricing, reservations and the board."""
