"""Inbox and outbox rows get a trace context."""

from storage.migrations.common import add_traceparent

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    add_traceparent()
