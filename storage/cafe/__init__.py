"""Café: tables and statements of its contexts."""
