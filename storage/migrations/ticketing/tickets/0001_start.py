"""Tickets and holds."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table tickets (
          ticket_id uuid primary key,
          name text not null,
          starts_at timestamptz not null,
          ends_at timestamptz not null,
          base_price bigint not null check (base_price >= 0),
          status text not null default 'AVAILABLE' check (status in ('AVAILABLE', 'RESERVED', 'EXPIRED')),
          reservation_id uuid,
          registered_by text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1,
          check (ends_at > starts_at),
          check ((status = 'RESERVED') = (reservation_id is not null))
        ) with (fillfactor = 80)""")
    op.execute("create index tickets_newest on tickets (created_at desc, ticket_id desc)")
    op.execute("""
        create table holds (
          reservation_id uuid primary key,
          ticket_id uuid not null,
          status text not null check (status in ('HELD', 'CONFIRMED', 'RELEASED')),
          created_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index holds_unconfirmed on holds (reservation_id) where status = 'HELD'")
