"""The payment simulator's ledger."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        create table charges (
          key uuid primary key,
          amount bigint not null check (amount >= 0),
          captured bigint not null check (captured in (0, amount)),
          voided bigint not null default 0 check (voided >= 0),
          refunded bigint not null default 0 check (refunded >= 0),
          declined text,
          failing_refunds integer not null default 0 check (failing_refunds >= 0),
          calls integer not null default 1,
          created_at timestamptz not null default now(),
          check (voided + refunded <= captured)
        )""")
    op.execute("""
        create table refunds (
          key uuid primary key,
          charge_key uuid not null references charges (key),
          amount bigint not null check (amount > 0),
          created_at timestamptz not null default now()
        )""")
    op.execute("create index refunds_of_charge on refunds (charge_key)")
