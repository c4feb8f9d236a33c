"""Bikes and holds."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table bikes (
          bike_id uuid primary key,
          code text not null constraint bikes_code unique,
          location text not null,
          condition text not null check (condition in ('GOOD', 'BROKEN')),
          held_by uuid constraint bikes_one_each unique,
          status text not null generated always as (case when held_by is not null then 'IN_USE'
            when condition = 'BROKEN' then 'BROKEN' else 'AVAILABLE' end) stored,
          registered_by text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index bikes_newest on bikes (created_at desc, bike_id desc)")
    op.execute("create index bikes_at on bikes (location, created_at desc, bike_id desc)")
    op.execute("""
        create table holds (
          ride_id uuid primary key,
          bike_id uuid not null,
          member_id text,
          confirmed boolean not null default false,
          released_at timestamptz,
          created_at timestamptz not null default now()
        ) with (fillfactor = 80)""")
    op.execute("create index holds_of_bike on holds (bike_id) where released_at is null")
