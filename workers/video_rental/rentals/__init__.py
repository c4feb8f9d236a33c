"""Video rental: bookings of videos, pickup, return and late fees."""

from workers.video_rental.rentals.handlers import worker

__all__ = ["worker"]
