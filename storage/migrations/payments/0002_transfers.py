"""Bank transfers."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        create table transfers (
          transfer_id uuid primary key,
          order_id uuid not null,
          order_status text not null,
          order_version integer not null,
          round integer not null,
          member_id text not null,
          amount bigint not null check (amount >= 0),
          bank_account text not null,
          reference text not null,
          deadline timestamptz not null,
          reason text,
          status text not null,
          refund_owed boolean not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index transfers_newest on transfers (created_at desc, transfer_id desc)")
