"""The report."""

from storage.cafe.report import tables
from storage.migrations.common import match_view

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    match_view(tables)
