"""Rentals of a video are listed."""

from storage.migrations.common import match_view
from storage.video_rental.my_page import tables

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    match_view(tables)
