"""Receipts."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table receipts (
          receipt_id uuid primary key,
          reservation_id uuid not null unique,
          member_id text not null,
          product_id uuid not null,
          amount bigint not null,
          status text not null,
          reason text,
          issued_at timestamptz,
          expected_delivery date,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index receipts_newest on receipts (created_at desc, receipt_id desc)")
    op.execute("create index receipts_of_member on receipts (member_id, created_at desc, receipt_id desc)")
