"""Differences between the provider's books and ours, and the days that were compared."""

from alembic import op

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        create table discrepancies (
          discrepancy_id uuid primary key,
          kind text not null,
          status text not null,
          amount bigint not null check (amount >= 0),
          provider text not null,
          reference text not null,
          payment_id uuid,
          payer text not null,
          purpose text not null,
          resolution text,
          resolved_by text,
          found_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        )""")
    op.execute("create index discrepancies_newest on discrepancies (found_at desc, discrepancy_id desc)")
    op.execute("create index discrepancies_of_charge on discrepancies (coalesce(cast(payment_id as text), reference))")
    op.execute("""
        create table reconciliations (
          day date primary key,
          charges integer not null,
          captured bigint not null,
          given_back bigint not null,
          differences integer not null,
          compared_at timestamptz not null default now()
        )""")
    op.execute("comment on table reconciliations is 'Each day of Seoul, as its charges were compared last.'")
