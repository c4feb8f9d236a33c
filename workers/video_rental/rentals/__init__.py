"""Video rental: hold a copy, get it paid, hand it over, take it back."""

from workers.video_rental.rentals.handlers import worker

__all__ = ["worker"]
