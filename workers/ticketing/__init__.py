"""Ticketing: tickets, prices, reservations, the board."""
