"""The businesses as people see them: what is offered, what is theirs, what there is to do."""

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
"""In the order of the API's pages."""

ALL: tuple[Business, ...] = (*BUSINESSES, payments.business)
BY_SLUG = {business.slug: business for business in ALL}
