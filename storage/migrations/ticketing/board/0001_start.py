"""The board."""

from storage.migrations.common import match_view
from storage.ticketing.board import tables

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    match_view(tables)
