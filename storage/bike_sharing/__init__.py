"""Bike sharing: tables and statements of its contexts."""
