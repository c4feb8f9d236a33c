"""Deposit accounts, their ledger, fees and top-ups."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table accounts (
          account_id uuid primary key,
          member_id text not null unique,
          balance bigint not null default 0 check (balance >= 0),
          debt bigint not null default 0 check (debt >= 0),
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 0,
          check (balance = 0 or debt = 0)
        ) with (fillfactor = 70)""")
    op.execute("create index accounts_newest on accounts (created_at desc, account_id desc)")
    op.execute("""
        create table entries (
          entry_id uuid primary key default gen_random_uuid(),
          account_id uuid not null references accounts,
          kind text not null check (kind in ('TOP_UP', 'CREDIT', 'FEE', 'DEBT')),
          amount bigint not null check ((amount > 0) = (kind in ('TOP_UP', 'CREDIT')) and amount <> 0),
          balance_after bigint not null check (balance_after >= 0),
          bill_id uuid,
          top_up_id uuid,
          reason text,
          created_at timestamptz not null default clock_timestamp()
        )""")
    op.execute("create index entries_of_account on entries (account_id, created_at desc, entry_id desc)")
    op.execute("create unique index entries_one_fee on entries (bill_id) where kind = 'FEE'")
    op.execute("create unique index entries_one_payment on entries (bill_id, top_up_id) where kind = 'DEBT'")
    op.execute("create unique index entries_one_top_up on entries (top_up_id) where kind in ('TOP_UP', 'CREDIT')")
    op.execute("""
        create table fees (
          bill_id uuid primary key,
          ride_id uuid not null,
          account_id uuid not null references accounts,
          member_id text not null,
          amount bigint not null,
          paid bigint not null check (paid >= 0),
          owed bigint not null check (owed >= 0),
          balance_after bigint not null,
          ended_at timestamptz not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1,
          check (paid + owed = amount)
        ) with (fillfactor = 80)""")
    op.execute("create index fees_owed on fees (account_id, ended_at, bill_id) where owed > 0")
    op.execute("""
        create table top_ups (
          top_up_id uuid primary key,
          member_id text not null,
          amount bigint not null check (amount > 0),
          status text not null,
          reason text,
          balance bigint,
          debt bigint,
          payment_id uuid unique,
          payment_status text,
          payment_version integer not null default 0,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index top_ups_newest on top_ups (created_at desc, top_up_id desc)")
    op.execute("create index top_ups_of_member on top_ups (member_id, created_at desc, top_up_id desc)")
