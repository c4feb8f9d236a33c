"""Ticketing: tables and statements of its contexts."""
