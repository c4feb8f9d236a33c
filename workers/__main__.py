"""`python -m workers video_rental.rentals payments` runs these contexts, `python -m workers all` the system."""

from workers.app import main

main()
