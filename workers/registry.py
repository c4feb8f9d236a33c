"""The registry of all contexts: their names, their workers, and the events that count as booking outcomes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # commands that need only the names of contexts do not import the runtime
    from workers.runtime.processing.handlers import BaseWorker

CONTEXTS = (
    "payments",
    "video_rental.videos",
    "video_rental.rentals",
    "video_rental.my_page",
    "cafe.menu",
    "cafe.orders",
    "cafe.report",
    "shop.products",
    "shop.orders",
    "shop.deliveries",
    "shop.order_status",
    "bike_sharing.bikes",
    "bike_sharing.rides",
    "bike_sharing.billing",
    "bike_sharing.deposits",
    "bike_sharing.ride_history",
    "ticketing.tickets",
    "ticketing.pricing",
    "ticketing.reservations",
    "ticketing.board",
    "preorder.products",
    "preorder.reservations",
    "preorder.receipts",
    "preorder.my_reservations",
    "journal",
)

BOOKINGS = {
    "video_rental.rentals.video_booked": "booked",
    "video_rental.rentals.booking_rejected": "rejected",
    "video_rental.rentals.booking_cancelled": "cancelled",
    "ticketing.reservations.ticket_reserved": "booked",
    "ticketing.reservations.reservation_rejected": "rejected",
    "ticketing.reservations.reservation_cancelled": "cancelled",
    "bike_sharing.rides.ride_started": "booked",
    "bike_sharing.rides.ride_not_started": "rejected",
    "shop.orders.order_placed": "booked",
    "shop.orders.order_cancelled": "cancelled",
    "cafe.orders.order_placed": "booked",
    "cafe.orders.order_rejected": "rejected",
    "cafe.orders.order_cancelled": "cancelled",
    "preorder.reservations.reservation_confirmed": "booked",
    "preorder.reservations.reservation_rejected": "rejected",
    "preorder.reservations.reservation_cancelled": "cancelled",
}
"""The outcome of a booking by the topic of the event that reports it; metrics count these."""


def worker(context: str) -> BaseWorker:
    """The worker of a context; raises KeyError for an unknown name."""
    if context not in CONTEXTS:
        raise KeyError(f"unknown context {context}; the contexts are {', '.join(CONTEXTS)}")
    return cast("BaseWorker", import_module(f"workers.{context}").worker)


def workers() -> list[BaseWorker]:
    """The workers of all contexts."""
    return [worker(context) for context in CONTEXTS]
