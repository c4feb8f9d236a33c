"""Inbox and outbox rows get a trace context."""

from storage.migrations.common import add_traceparent

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    add_traceparent()
