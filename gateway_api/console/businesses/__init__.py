"""How the console shows each business: catalogue, records of members, tasks of staff, actions."""

from __future__ import annotations

from gateway_api.console.actions import Business
from gateway_api.console.businesses import (
    bike_sharing,
    cafe,
    payments,
    preorder,
    shop,
    ticketing,
    video_rental,
)

BUSINESSES: tuple[Business, ...] = (
    video_rental.business,
    ticketing.business,
    bike_sharing.business,
    shop.business,
    cafe.business,
    preorder.business,
)
"""The six businesses, in the order in which pages show them."""

ALL: tuple[Business, ...] = (*BUSINESSES, payments.business)
