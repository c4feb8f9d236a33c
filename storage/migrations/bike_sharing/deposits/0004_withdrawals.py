"""Withdrawals from a deposit, and the refunds of top-ups that they are paid by."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        create table withdrawals (
          withdrawal_id uuid primary key,
          member_id text not null,
          amount bigint not null check (amount > 0),
          status text not null check (status in ('PENDING', 'COMPLETED')),
          refunded bigint not null default 0,
          by_hand bigint not null check (by_hand >= 0),
          paid_out bigint not null default 0,
          reference text,
          paid_out_by text,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1,
          check (paid_out <= by_hand and refunded + by_hand <= amount)
        ) with (fillfactor = 80)""")
    op.execute("create index withdrawals_newest on withdrawals (created_at desc, withdrawal_id desc)")
    op.execute("create index withdrawals_of_member on withdrawals (member_id, created_at desc, withdrawal_id desc)")
    op.execute("""
        create table withdrawal_refunds (
          refund_id uuid primary key,
          withdrawal_id uuid not null references withdrawals,
          top_up_id uuid not null references top_ups,
          amount bigint not null check (amount > 0),
          status text not null default 'PENDING' check (status in ('PENDING', 'REFUNDED', 'REFUSED'))
        ) with (fillfactor = 80)""")
    op.execute("create index withdrawal_refunds_of_withdrawal on withdrawal_refunds (withdrawal_id)")
    op.execute("create index withdrawal_refunds_of_top_up on withdrawal_refunds (top_up_id)")
    op.execute("alter table entries add column withdrawal_id uuid")
    op.execute("alter table entries drop constraint entries_kind_check")
    op.execute("""
        alter table entries add constraint entries_kind_check
          check (kind in ('TOP_UP', 'CREDIT', 'FEE', 'DEBT', 'WITHDRAWAL')) not valid""")
