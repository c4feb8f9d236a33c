"""Transfers that were sent back, and the accounts to which members want them."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("""
        alter table transfers
          add column returned_at timestamptz,
          add column returned_by text,
          add column return_reference text,
          add column returned_round integer not null default 0,
          add column refund_bank text,
          add column refund_number text,
          add column refund_holder text,
          add column refund_account_last4 text""")
    op.execute("create index transfers_of_order on transfers (order_id)")
