"""Reservations are listed: the board has all of their fields, in rows from before once it is rebuilt."""

from storage.migrations.common import match_view
from storage.ticketing.board import tables

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    match_view(tables)
