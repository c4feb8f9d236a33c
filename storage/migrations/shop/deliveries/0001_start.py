"""Deliveries."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table deliveries (
          delivery_id uuid primary key,
          order_id uuid not null unique,
          order_status text not null,
          member_id text not null,
          product_id uuid not null,
          quantity integer not null,
          status text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index deliveries_newest on deliveries (created_at desc, delivery_id desc)")
