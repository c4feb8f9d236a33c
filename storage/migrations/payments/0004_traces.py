"""Rows keep the trace that they belong to."""

from storage.migrations.common import keep_traces

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    keep_traces()
