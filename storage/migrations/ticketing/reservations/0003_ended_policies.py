"""Discount policies that have ended: nobody gets their price any more, whatever pricing has repriced so far."""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("create table ended_policies (policy_id uuid primary key)")
