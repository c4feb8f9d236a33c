"""Process status, and indexes by time for the last hour of events and handled messages."""

from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        create table standings (
          context text not null,
          replica text not null,
          at timestamptz not null,
          told text not null,
          primary key (context, replica)
        )""")
    for table in ("events", "handled"):
        op.execute(f"create index {table}_at on {table} using brin (at) with (pages_per_range = 16)")
