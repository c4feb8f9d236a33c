"""Bills."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table bills (
          bill_id uuid primary key,
          ride_id uuid not null unique,
          bike_id uuid not null,
          member_id text not null,
          status text not null check (status in ('OPEN', 'SETTLING', 'CLOSED', 'OWED')),
          fee_plan jsonb not null,
          started_at timestamptz not null,
          ended_at timestamptz,
          minutes integer,
          amount bigint check (amount >= 0),
          paid bigint not null default 0 check (paid >= 0),
          owed bigint not null default 0 check (owed >= 0),
          balance_after bigint,
          flagged boolean not null default false,
          fee_version integer not null default 0,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1,
          check (status in ('OPEN', 'SETTLING') or paid + owed = amount)
        ) with (fillfactor = 80)""")
    op.execute("create index bills_newest on bills (created_at desc, bill_id desc)")
    op.execute("create index bills_of_member on bills (member_id, created_at desc, bill_id desc)")
