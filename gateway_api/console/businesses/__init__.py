"""How the console shows each business: catalogue, records of members, tasks of staff, actions, words."""

from __future__ import annotations

from contracts.systems import modules_of
from gateway_api.console.actions import Business

BUSINESSES: tuple[Business, ...] = tuple(module.business for module in modules_of("gateway_api.console.businesses"))
"""The businesses, in the order in which pages show them."""
