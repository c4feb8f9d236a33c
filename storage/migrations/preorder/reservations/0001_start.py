"""Reservations, quotas, and a projection of the models."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox
from storage.paid import paid_columns

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table products (
          product_id uuid primary key,
          name text not null,
          price bigint not null,
          quota integer,
          status text not null,
          registered_by text not null,
          created_at timestamptz not null,
          modified_at timestamptz not null,
          version integer not null
        )""")
    op.execute("""
        create table quotas (
          product_id uuid primary key,
          taken integer not null default 0 check (taken >= 0)
        ) with (fillfactor = 50)""")
    op.execute(f"""
        create table reservations (
          reservation_id uuid primary key,
          product_id uuid not null,
          member_id text not null,
          address text not null,
          price bigint not null,
          status text not null,
          reason text,
          called_off boolean not null default false,
          paid_at timestamptz,
          {paid_columns()},
          receipt_id uuid,
          receipt_status text,
          receipt_issued_at timestamptz,
          expected_delivery date,
          receipt_version integer not null default 0,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1,
          check (status <> 'CONFIRMED' or paid_at is not null)
        ) with (fillfactor = 80)""")
    op.execute("""
        create unique index reservations_one_active on reservations (member_id, product_id)
        where status in ('AWAITING_PAYMENT', 'CONFIRMED', 'CANCELLING')""")
    op.execute("create index reservations_newest on reservations (created_at desc, reservation_id desc)")
    op.execute("create index reservations_of_member on reservations (member_id, created_at desc, reservation_id desc)")
    op.execute("create index reservations_payment on reservations (payment_id)")
