"""Bike sharing."""
