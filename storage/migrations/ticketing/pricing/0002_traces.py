"""Rows keep the trace that they belong to."""

from storage.migrations.common import keep_traces

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    keep_traces()
