"""Rides, and projections of bikes and deposit accounts."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("create table bikes (bike_id uuid primary key)")
    op.execute("""
        create table accounts (
          account_id uuid primary key,
          member_id text not null unique,
          balance bigint not null,
          debt bigint not null,
          created_at timestamptz not null,
          modified_at timestamptz not null,
          version integer not null
        ) with (fillfactor = 80)""")
    op.execute("""
        create table rides (
          ride_id uuid primary key,
          bike_id uuid not null,
          member_id text not null,
          status text not null,
          reason text,
          fee_plan jsonb not null,
          start_location text,
          location text,
          started_at timestamptz,
          ended_at timestamptz,
          minutes integer,
          fee bigint check (fee >= 0),
          flagged boolean not null default false,
          bike_released boolean not null default false,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create unique index rides_one_open on rides (member_id) where status in ('STARTING', 'RIDING')")
    op.execute("create unique index rides_one_rider on rides (bike_id) where status = 'RIDING'")
    op.execute("create index rides_newest on rides (created_at desc, ride_id desc)")
    op.execute("create index rides_of_member on rides (member_id, created_at desc, ride_id desc)")
