"""Café: the menu, orders and the report."""
