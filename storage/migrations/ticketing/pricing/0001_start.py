"""Policies, prices by ticket, frozen prices by reservation, and a projection of the tickets."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table policies (
          policy_id uuid primary key,
          place bigint generated always as identity unique,
          name text not null,
          kind text not null check (kind in ('percent', 'amount')),
          value bigint not null check (value >= 1 and (kind = 'amount' or value <= 100)),
          grade text,
          valid_from timestamptz,
          valid_until timestamptz,
          status text not null default 'ACTIVE',
          created_by text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        )""")
    op.execute("create index policies_newest on policies (status, created_at desc, policy_id desc)")
    op.execute("""
        create table tickets (
          ticket_id uuid primary key,
          base_price bigint not null,
          status text not null,
          version integer not null
        ) with (fillfactor = 80)""")
    op.execute("create index tickets_to_price on tickets (ticket_id) where status = 'AVAILABLE'")
    op.execute("""
        create table prices (
          ticket_id uuid primary key,
          price_id uuid not null,
          base bigint not null,
          standard jsonb not null,
          vip jsonb not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index prices_newest on prices (created_at desc, ticket_id desc)")
    op.execute("""
        create table frozen_prices (
          reservation_id uuid primary key,
          frozen_price_id uuid not null,
          ticket_id uuid not null,
          price jsonb,
          status text not null check (status in ('FROZEN', 'RESTORED')),
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create table pricing_turn (one integer primary key check (one = 1))")
    op.execute("insert into pricing_turn values (1)")
