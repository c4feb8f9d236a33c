"""Whether the money of an order was sent back, and to which account."""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table orders add column returned_at timestamptz, add column refund_account_last4 text")
