"""Reservations, and projections of tickets and prices."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("create table tickets (ticket_id uuid primary key)")
    op.execute("""
        create table prices (
          ticket_id uuid primary key,
          standard jsonb not null,
          vip jsonb not null,
          version integer not null
        ) with (fillfactor = 80)""")
    op.execute("create table holders (reservation_id uuid primary key)")
    op.execute("""
        create table reservations (
          reservation_id uuid primary key,
          ticket_id uuid not null,
          member_id text not null,
          status text not null
            check (status in ('PENDING', 'RESERVED', 'CANCELLING', 'CANCELLED', 'REJECTED')),
          reason text,
          price jsonb not null,
          ticket_freed boolean not null default false,
          price_restored boolean not null default false,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index reservations_newest on reservations (created_at desc, reservation_id desc)")
    op.execute("create index reservations_of_member on reservations (member_id, created_at desc, reservation_id desc)")
    op.execute("""
        create index reservations_holding on reservations (ticket_id)
        where status in ('PENDING', 'RESERVED', 'CANCELLING')""")
