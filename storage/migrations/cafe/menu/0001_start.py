"""The menu."""

from alembic import op

from storage.migrations.common import create_inbox_and_outbox

revision = "0001"
down_revision = None
folded = ("0002",)


def upgrade() -> None:
    create_inbox_and_outbox()
    op.execute("""
        create table menu_items (
          menu_item_id uuid primary key,
          name text not null,
          price bigint not null check (price >= 0),
          status text not null check (status in ('AVAILABLE', 'SOLD_OUT')),
          registered_by text not null,
          changed_by text not null,
          created_at timestamptz not null default now(),
          modified_at timestamptz not null default now(),
          version integer not null default 1
        )""")
    op.execute("create index menu_items_newest on menu_items (created_at desc, menu_item_id desc)")
