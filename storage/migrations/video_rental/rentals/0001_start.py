"""Rentals, holds, and a projection of the catalogue."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox
from storage.paid import paid_columns

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table videos (
          video_id uuid primary key,
          title text not null,
          daily_price bigint not null,
          copies integer not null,
          status text not null,
          registered_by text not null,
          created_at timestamptz not null,
          modified_at timestamptz not null,
          version integer not null
        )""")
    op.execute("create index videos_newest on videos (created_at desc, video_id desc)")
    op.execute("""
        create table holds (
          video_id uuid primary key,
          held integer not null default 0 check (held >= 0)
        ) with (fillfactor = 50)""")
    op.execute(f"""
        create table rentals (
          rental_id uuid primary key,
          video_id uuid not null,
          member_id text not null,
          days integer not null,
          daily_price bigint not null,
          price bigint not null,
          status text not null,
          reason text,
          {paid_columns()},
          pickup_until timestamptz,
          picked_up_at timestamptz,
          due_at timestamptz,
          returned_at timestamptz,
          late_fee bigint not null default 0,
          late_fee_status text not null default 'NONE',
          late_fee_payment_id uuid,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("""
        create unique index rentals_one_active on rentals (member_id, video_id)
        where status in ('AWAITING_PAYMENT', 'BOOKED', 'RENTED')""")
    op.execute("create index rentals_late_fees on rentals (member_id) where late_fee_status in ('OWED', 'PAYING')")
    op.execute("create index rentals_newest on rentals (created_at desc, rental_id desc)")
    op.execute("create index rentals_of_member on rentals (member_id, created_at desc, rental_id desc)")
    op.execute("create index rentals_payment on rentals (payment_id)")
