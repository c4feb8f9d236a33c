"""The town: every worker, by the name of its context."""

from __future__ import annotations

from importlib import import_module

from workers.runtime.worker import Worker

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


def worker(context: str) -> Worker:
    """The worker of a context; raises KeyError for a name that is none."""
    if context not in CONTEXTS:
        raise KeyError(f"no context is called {context}; there are {', '.join(CONTEXTS)}")
    found = import_module(f"workers.{context}").worker
    assert isinstance(found, Worker)
    return found


def workers() -> list[Worker]:
    """All of them."""
    return [worker(context) for context in CONTEXTS]
