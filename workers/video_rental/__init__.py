"""Video rental: videos, rentals and My Page."""
