"""Audit reports."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        create table audits (
          id uuid primary key,
          at timestamptz not null,
          told text not null
        )""")
    op.execute("create index audits_at on audits (at)")
