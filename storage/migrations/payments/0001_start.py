"""Payments, refunds, and entries of their changes."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table payments (
          payment_id uuid primary key,
          status text not null,
          payer text not null,
          amount bigint not null check (amount >= 0),
          purpose text not null,
          method text not null,
          last4 text,
          brand text,
          captured bigint not null default 0,
          refunding bigint not null default 0 check (refunding >= 0),
          refunded bigint not null default 0 check (refunded >= 0),
          voided bigint not null default 0 check (voided >= 0),
          reason text,
          asked_at timestamptz not null default now(),
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 0,
          check (refunding + refunded <= captured)
        ) with (fillfactor = 80)""")
    op.execute("create index payments_newest on payments (created_at desc, payment_id desc)")
    op.execute("create index payments_of_payer on payments (payer, created_at desc, payment_id desc)")
    op.execute("""
        create table refunds (
          refund_id uuid primary key,
          payment_id uuid not null,
          payer text not null,
          amount bigint not null check (amount >= 0),
          status text not null,
          reason text,
          requested_by text not null,
          failure text,
          tries integer not null default 0,
          logged_at timestamptz,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        ) with (fillfactor = 80)""")
    op.execute("create index refunds_newest on refunds (created_at desc, refund_id desc)")
    op.execute("create index refunds_of_payer on refunds (payer, created_at desc, refund_id desc)")
    op.execute("create index refunds_of_payment on refunds (payment_id, created_at desc, refund_id desc)")
    op.execute("""
        create index refunds_unlogged on refunds (modified_at, refund_id)
        where status = 'REFUNDED' and amount > 0 and logged_at is null""")
    op.execute("""
        create table entries (
          subject_id uuid not null,
          version integer not null,
          payment_id uuid not null,
          what text not null,
          amount bigint not null check (amount >= 0),
          reason text,
          at timestamptz not null default now(),
          primary key (subject_id, version)
        )""")
    op.execute("comment on table entries is 'What became of each payment and refund, appended and never changed.'")
