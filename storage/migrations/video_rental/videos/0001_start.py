"""The catalogue."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table videos (
          video_id uuid primary key,
          title text not null,
          daily_price bigint not null check (daily_price > 0),
          copies integer not null check (copies >= 0),
          status text not null,
          registered_by text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        )""")
    op.execute("create index videos_newest on videos (created_at desc, video_id desc)")
