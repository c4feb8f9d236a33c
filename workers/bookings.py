"""What counts as a booking in each business, for those who watch: the events that tell what became of one."""

from __future__ import annotations

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
"""By wire name."""
