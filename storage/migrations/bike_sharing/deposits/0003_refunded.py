"""How much of a top-up's payment has been refunded."""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table top_ups add column refunded bigint not null default 0")
